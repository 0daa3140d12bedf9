"""Names and addresses of clusters and nodes, derived from a name."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.paths import API_SERVICE, SERVICE_NETWORK, Cluster, named_cluster

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True)


@given(NAMES, st.integers(1, 200))
def test_a_nodes_addresses_lie_in_its_clusters_network(name: str, number: int) -> None:
    node = Cluster(name).node(number)

    assert node.pod_network.subnet_of(node.cluster.network)
    assert node.address in IPv4Network(f"{node.cluster.gateway}/24", strict=False)
    assert node.address not in node.pod_network
    assert node.address != node.cluster.gateway


@given(NAMES)
def test_no_cluster_takes_the_services_network(name: str) -> None:
    assert not Cluster(name).network.overlaps(SERVICE_NETWORK)


@given(NAMES, st.integers(1, 200))
def test_link_names_are_short_enough_for_the_kernel(name: str, number: int) -> None:
    node = Cluster(name).node(number)

    assert len(node.link) <= 15
    assert len(node.cluster.bridge) <= 15


def test_pod_networks_of_two_nodes_are_apart() -> None:
    cluster = Cluster("local")

    assert not cluster.node(1).pod_network.overlaps(cluster.node(2).pod_network)


def test_two_names_share_nothing() -> None:
    one, other = Cluster("local"), Cluster("probe")

    assert not one.network.overlaps(other.network)
    for name in ("loopback", "bridge", "cgroup", "state", "server"):
        assert getattr(one, name) != getattr(other, name)


def test_names_and_addresses_do_not_change_from_run_to_run() -> None:
    node = Cluster("local").node(2)

    assert node.name == "local-node2"
    assert str(node.address) == "10.218.0.12"
    assert str(node.pod_network) == "10.218.2.0/24"
    assert str(API_SERVICE) == "10.96.0.1"


@pytest.mark.parametrize("name", ["", "Local", "a/b", "..", "-a", "a-", "1a", "a" * 33])
def test_names_that_are_unfit_for_hosts_and_folders_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cluster name"):
        named_cluster(name)


@pytest.mark.parametrize("number", [0, -1, 201])
def test_node_numbers_without_an_address_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="node number"):
        Cluster("local").node(number)
