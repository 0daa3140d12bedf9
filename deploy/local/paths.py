"""Where everything lives and what it is called, derived from a cluster's name alone.

Pure but for reading the environment; every other module asks here and invents no name itself.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).resolve().parent
IMAGES_DIR = REPOSITORY / "build" / "images"
BIN_DIR = REPOSITORY / "build" / "bin"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoppablecontainer"
STATE = Path("/var/lib/stoppablecontainer-local")

SERVICE_NETWORK = IPv4Network("10.96.0.0/16")
API_SERVICE = IPv4Address("10.96.0.1")
API_PORT = 6443
# Addresses differ from cluster to cluster, so the ports need not.
ETCD_PORT, ETCD_PEER_PORT, CONTROLLER_PORT, SCHEDULER_PORT = 2379, 2380, 10257, 10259

# 10.128.0.0 to 10.223.255.255: one /16 a cluster.
_FIRST_NETWORK, _NETWORKS = 128, 96
_MAX_NODES = 200


@dataclass(frozen=True, slots=True)
class Node:
    """One node: a set of namespaces, with a disk of its own."""

    cluster: Cluster
    number: int

    @property
    def name(self) -> str:
        """Its name in Kubernetes, and its host name."""
        return f"{self.cluster.name}-node{self.number}"

    @property
    def netns(self) -> str:
        """Its named network namespace."""
        return f"stoppable-{self.name}"

    @property
    def link(self) -> str:
        """The host's end of the node's cable; 15 characters is the kernel's limit."""
        return f"{self.cluster.bridge}n{self.number}"

    @property
    def address(self) -> IPv4Address:
        """Its address on the bridge."""
        return self.cluster.network.network_address + 10 + self.number

    @property
    def pod_network(self) -> IPv4Network:
        """Its pods' addresses."""
        return IPv4Network((int(self.cluster.network.network_address) + (self.number << 8), 24))

    @property
    def state(self) -> Path:
        """All that is kept of the node."""
        return self.cluster.state / "nodes" / str(self.number)

    @property
    def disk(self) -> Path:
        """What survives a crash of the node."""
        return self.state / "disk"

    @property
    def record(self) -> Path:
        """The pid of the one process that carries the node."""
        return self.state / "node.pid"

    @property
    def log(self) -> Path:
        """The folder of its logs."""
        return self.cluster.logs / f"node{self.number}"

    @property
    def cgroup(self) -> str:
        """Holds its pods."""
        return f"{self.cluster.cgroup}/node{self.number}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's names and addresses."""

    name: str

    @property
    def index(self) -> int:
        """Its number among the networks; names that share one cannot run side by side."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4]) % _NETWORKS

    @property
    def network(self) -> IPv4Network:
        """All of its addresses: nodes in the first /24, then a /24 for each node's pods."""
        return IPv4Network(f"10.{_FIRST_NETWORK + self.index}.0.0/16")

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's address, where the API server listens."""
        return self.network.network_address + 1

    @property
    def loopback(self) -> IPv4Address:
        """What pods must not reach (etcd has no password) listens on this machine's loopback."""
        return IPv4Address(f"127.{_FIRST_NETWORK + self.index}.0.1")

    @property
    def bridge(self) -> str:
        """The bridge that joins the nodes; short, as links are named after it."""
        return f"stoppable{self.index}"

    @property
    def cgroup(self) -> str:
        """Holds its nodes' cgroups."""
        return f"stoppablecontainer-{self.name}"

    @property
    def server(self) -> str:
        """The API server, as everyone but pods reaches it."""
        return f"https://{self.gateway}:{API_PORT}"

    @property
    def state(self) -> Path:
        """All that is kept of the cluster, until it goes down."""
        return STATE / self.name

    @property
    def logs(self) -> Path:
        """The logs of the control plane, and a folder for each node."""
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def records(self) -> Path:
        """The pids of the control plane."""
        return self.state / "run"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "kubeconfig"

    def node(self, number: int) -> Node:
        """One of its nodes, there or not."""
        if not 1 <= number <= _MAX_NODES:
            raise ValueError(f"node number {number}: must be 1 to {_MAX_NODES}")
        return Node(self, number)

    def known_nodes(self) -> tuple[Node, ...]:
        """The nodes that have a disk, running or not."""
        folder = self.state / "nodes"
        numbers = sorted(int(entry.name) for entry in folder.iterdir()) if folder.is_dir() else []
        return tuple(self.node(number) for number in numbers)


def cluster_from_environment() -> Cluster:
    """The cluster that STOPPABLECONTAINER_CLUSTER names."""
    return named_cluster(os.environ.get("STOPPABLECONTAINER_CLUSTER") or "local")


def named_cluster(name: str) -> Cluster:
    """A cluster whose name is fit for host names, folders and cgroups."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise ValueError(f"cluster name {name!r}: lower-case letters, digits and '-', at most 32")
    return Cluster(name)
