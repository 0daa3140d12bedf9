"""Bridge, cables, network namespaces, routes and the few packet rules of a cluster.

Nothing leaves the machine: no forwarding by the host, no masquerading. Node and pod addresses
are reached through the cluster's bridge only.
"""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from socket import AF_INET

from pyroute2 import IPRoute, NetlinkError, NetNS, netns

from deploy.local.paths import API_PORT, API_SERVICE, Cluster, Node

# Nodes start side by side, and each gives the others routes.
_ATTACHING = threading.Lock()
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NetworkTaken(Exception):
    """Someone else on this machine uses the cluster's addresses."""


def create_bridge(cluster: Cluster) -> None:
    """Make the bridge and its packet rules; what is there already stays."""
    with IPRoute() as kernel:
        _refuse_foreign_routes(cluster, kernel)
        if not kernel.link_lookup(ifname=cluster.bridge):
            # A bridge without an address of its own takes over a port's, and changes it then.
            mac = f"02:53:43:00:{cluster.index:02x}:01"
            kernel.link("add", ifname=cluster.bridge, kind="bridge", address=mac)
        index = kernel.link_lookup(ifname=cluster.bridge)[0]
        kernel.addr("replace", index=index, address=str(cluster.gateway), prefixlen=24)
        kernel.link("set", index=index, state="up")
    for rule in packet_rules(cluster):
        if not _iptables("-C", rule):
            _iptables("-I", rule, check=True)


def remove_bridge(cluster: Cluster) -> None:
    """Remove the bridge, its rules, and cables that a dead cluster left on it."""
    for rule in packet_rules(cluster):
        while _iptables("-D", rule):
            pass
    with IPRoute() as kernel:
        bridge = kernel.link_lookup(ifname=cluster.bridge)
        if bridge:
            for port in kernel.link_lookup(master=bridge[0]):
                kernel.link("del", index=port)
            kernel.link("del", index=bridge[0])
    if not netns.listnetns():
        # The folder was mounted for the first namespace; the next one would do it again.
        subprocess.run(["umount", "/run/netns"], check=False, capture_output=True)


def attach(node: Node, others: tuple[Node, ...]) -> None:
    """Give the node a network namespace, a cable to the bridge, and routes to the other nodes."""
    with _ATTACHING:
        _connect(node)
        _join(node, others)


def detach(node: Node) -> None:
    """Remove what attach made, whatever of it is there."""
    with IPRoute() as host:
        for cable in host.link_lookup(ifname=node.link):
            host.link("del", index=cable)
        with suppress(NetlinkError):  # gone with the bridge, or never made
            host.route("del", dst=str(node.pod_network))
    if node.netns in netns.listnetns():
        netns.remove(node.netns)


def namespace(node: Node) -> Path:
    """The file that enters the node's network."""
    return Path("/run/netns") / node.netns


def packet_rules(cluster: Cluster) -> tuple[tuple[str, ...], ...]:
    """Table, chain and match of each rule.

    The API's service address works without kube-proxy, for every cluster on its own bridge. The
    next two matter where a firewall drops by default; the last one where the machine forwards.
    """
    bridge = cluster.bridge
    api = ("-p", "tcp", "--dport", "443", "-j", "DNAT")
    server = f"{cluster.gateway}:{API_PORT}"
    return (
        ("nat", "PREROUTING", "-i", bridge, "-d", f"{API_SERVICE}/32", *api, "--to", server),
        ("filter", "INPUT", "-i", bridge, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-i", bridge, "!", "-o", bridge, "-j", "DROP"),
    )


def _connect(node: Node) -> None:
    netns.create(node.netns)
    with IPRoute() as host:
        peer = {"ifname": "eth0", "net_ns_fd": node.netns}
        host.link("add", ifname=node.link, kind="veth", peer=peer)
        cable = host.link_lookup(ifname=node.link)[0]
        bridge = host.link_lookup(ifname=node.cluster.bridge)[0]
        host.link("set", index=cable, master=bridge, state="up")
        _route(host, node.pod_network, node.address)
    with NetNS(node.netns) as inside:
        inside.link("set", index=inside.link_lookup(ifname="lo")[0], state="up")
        ethernet = inside.link_lookup(ifname="eth0")[0]
        inside.addr("add", index=ethernet, address=str(node.address), prefixlen=24)
        inside.link("set", index=ethernet, state="up")
        inside.route("replace", dst="default", gateway=str(node.cluster.gateway))


def _join(node: Node, others: tuple[Node, ...]) -> None:
    """Routes between the pods of this node and of the others, both ways."""
    present = netns.listnetns()
    for other in others:
        if other == node or other.netns not in present:
            continue
        with NetNS(node.netns) as here, NetNS(other.netns) as there:
            _route(here, other.pod_network, other.address)
            _route(there, node.pod_network, node.address)


def _route(kernel: IPRoute, network: IPv4Network, gateway: IPv4Address) -> None:
    kernel.route("replace", dst=str(network), gateway=str(gateway))


def _refuse_foreign_routes(cluster: Cluster, kernel: IPRoute) -> None:
    own = kernel.link_lookup(ifname=cluster.bridge)
    for route in kernel.get_routes(family=AF_INET):
        destination = route.get_attr("RTA_DST")
        if destination is None or route.get_attr("RTA_OIF") in own:
            continue
        if IPv4Network(f"{destination}/{route['dst_len']}").overlaps(cluster.network):
            raise NetworkTaken(
                f"{cluster.network} is routed elsewhere ({destination}); choose another name "
                "in STOPPABLECONTAINER_CLUSTER: the name decides the network"
            )


def _iptables(action: str, rule: tuple[str, ...], *, check: bool = False) -> bool:
    table, chain, *match = rule
    done = subprocess.run(
        ["iptables", "-w", "-t", table, action, chain, *match],
        check=check,
        stderr=None if check else subprocess.DEVNULL,
        env={"PATH": _PATH},
    )
    return done.returncode == 0
