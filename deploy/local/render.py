"""Every configuration file and command line of the cluster, as text. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.local.paths import (
    API_PORT,
    CONTROLLER_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    SCHEDULER_PORT,
    SERVICE_NETWORK,
    Cluster,
    Node,
)

# As the node sees them.
NODE_CONFIG = PurePosixPath("/etc/kubernetes")
SANDBOX_IMAGE = "localhost/pause:1"
OTHER_RUNTIME = "io.containerd.other.v2"
CNI_PLUGINS = "/usr/lib/cni"
_CAP_SYS_RESOURCE = 24
_EVICTION_SIGNALS = (
    "memory.available",
    *("nodefs.available", "nodefs.inodesFree"),
    *("imagefs.available", "imagefs.inodesFree"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the configuration depends on of the machine it is for."""

    unified_cgroups: bool
    may_lower_oom_score: bool


def may_lower_oom_score(status: str) -> bool:
    """Whether /proc/self/status lists CAP_SYS_RESOURCE, which negative OOM scores need."""
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)


def kubeconfig(server: str, user: str, authority: str, certificate: str, key: str) -> str:
    """A kubeconfig with one user; the last three are paths."""
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "it", "cluster": {"server": server, "certificate-authority": authority}}
            ],
            "users": [
                {"name": user, "user": {"client-certificate": certificate, "client-key": key}}
            ],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": user}}],
            "current-context": "it",
        }
    )


def kubelet(node: Node, machine: Machine) -> str:
    """Quick to start pods, and never evicts or collects anything by itself."""
    settings: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(node.address),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(NODE_CONFIG / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(NODE_CONFIG / "server.crt"),
        "tlsPrivateKeyFile": str(NODE_CONFIG / "server.key"),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "resolvConf": str(NODE_CONFIG / "resolv.conf"),
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "maxPods": 300,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": dict.fromkeys(_EVICTION_SIGNALS, "0%"),
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        # Renewed every quarter of it: the controller manager waits only 15 s.
        "nodeLeaseDurationSeconds": 12,
        "nodeStatusUpdateFrequency": "4s",
    }
    if not machine.unified_cgroups:
        settings["failCgroupV1"] = False
    return _json(settings)


def containerd(machine: Machine) -> str:
    """NRI is on by default; it is written out so that a test can turn it off.

    The two more handlers are for tests of runtime classes: one that calls itself by another name,
    as Kata's does, and one of the usual kind.
    """
    restrict = str(not machine.may_lower_oom_score).lower()
    return f"""\
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{SANDBOX_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = {restrict}

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.other]
runtime_type = '{OTHER_RUNTIME}'
runtime_path = '/run/node/containerd/containerd-shim-runc-v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.like]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{CNI_PLUGINS}']

[plugins.'io.containerd.nri.v1.nri']
disable = false
socket_path = '/run/nri/nri.sock'
"""


def pod_network(node: Node) -> str:
    """CNI: a bridge in the node, and pods that are routed by their own addresses."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": str(node.pod_network)}]]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return _json({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]})


def node_environment(node: Node, tools: Path, kubernetes: Path) -> dict[str, str]:
    """What the node's init script reads."""
    return {
        "NODE_NAME": node.name,
        "NODE_ADDRESS": str(node.address),
        "NODE_DISK": str(node.disk),
        "NODE_LOG": str(node.log),
        "CONTAINERD_BIN": str(tools),
        "KUBERNETES_BIN": str(kubernetes),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }


def etcd(cluster: Cluster) -> list[str]:
    """Keeps etcd's fsync: tests of the control plane's durability are honest."""
    client = f"http://{cluster.loopback}:{ETCD_PORT}"
    peer = f"http://{cluster.loopback}:{ETCD_PEER_PORT}"
    return [
        f"--name={cluster.name}",
        f"--data-dir={cluster.state / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={cluster.name}={peer}",
        "--log-level=warn",
    ]


def api_server(cluster: Cluster) -> list[str]:
    """Admission and validation stay at their defaults."""
    pki = cluster.pki
    return [
        f"--etcd-servers=http://{cluster.loopback}:{ETCD_PORT}",
        f"--bind-address={cluster.gateway}",
        f"--advertise-address={cluster.gateway}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'api-server.crt'}",
        f"--tls-private-key-file={pki / 'api-server.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
    ]


def controller_manager(cluster: Cluster) -> list[str]:
    """A dead node is noticed within 15 s, so that tests of crashes are quick."""
    return [
        f"--kubeconfig={cluster.pki / 'controller-manager.kubeconfig'}",
        f"--bind-address={cluster.loopback}",
        f"--secure-port={CONTROLLER_PORT}",
        f"--root-ca-file={cluster.pki / 'ca.crt'}",
        f"--service-account-private-key-file={cluster.pki / 'service-accounts.key'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--node-monitor-period=2s",
        "--node-monitor-grace-period=15s",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def scheduler(cluster: Cluster) -> list[str]:
    """The default scheduler."""
    return [
        f"--kubeconfig={cluster.pki / 'scheduler.kubeconfig'}",
        f"--bind-address={cluster.loopback}",
        f"--secure-port={SCHEDULER_PORT}",
        "--leader-elect=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
