"""Configuration files and command lines of the cluster."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.local import network, render
from deploy.local.paths import Cluster

CLUSTER = Cluster("local")
NODE = CLUSTER.node(2)
V1 = render.Machine(unified_cgroups=False, may_lower_oom_score=False)
V2 = render.Machine(unified_cgroups=True, may_lower_oom_score=True)


def kubelet(machine: render.Machine) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(render.kubelet(NODE, machine))
    return parsed


def test_kubelet_accepts_cgroup_v1_only_where_it_must() -> None:
    assert kubelet(V1)["failCgroupV1"] is False
    assert "failCgroupV1" not in kubelet(V2)


def test_kubelet_stays_below_its_own_cgroup() -> None:
    assert kubelet(V1)["cgroupRoot"] == "/stoppablecontainer-local/node2"


def test_kubelet_evicts_nothing() -> None:
    assert set(kubelet(V2)["evictionHard"].values()) == {"0%"}
    assert kubelet(V2)["imageGCHighThresholdPercent"] == 100


def test_a_node_renews_its_lease_well_before_it_counts_as_dead() -> None:
    grace = next(
        int(flag.removesuffix("s").rpartition("=")[2])
        for flag in render.controller_manager(CLUSTER)
        if flag.startswith("--node-monitor-grace-period=")
    )

    assert kubelet(V2)["nodeLeaseDurationSeconds"] / 4 * 3 < grace


def test_containerd_pins_the_sandbox_and_has_nri_on() -> None:
    plugins = tomllib.loads(render.containerd(V1))["plugins"]

    assert plugins["io.containerd.cri.v1.images"]["pinned_images"] == {
        "sandbox": render.SANDBOX_IMAGE
    }
    assert plugins["io.containerd.nri.v1.nri"]["disable"] is False


@pytest.mark.parametrize("machine", [V1, V2])
def test_containerd_lowers_no_score_where_it_may_not(machine: render.Machine) -> None:
    plugins = tomllib.loads(render.containerd(machine))["plugins"]
    restricted = plugins["io.containerd.cri.v1.runtime"]["restrict_oom_score_adj"]

    assert restricted is not machine.may_lower_oom_score


def test_pods_get_addresses_of_their_node() -> None:
    bridge = json.loads(render.pod_network(NODE))["plugins"][0]

    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.218.2.0/24"}]]


def test_etcd_is_out_of_the_pods_reach() -> None:
    urls = [flag for flag in render.etcd(CLUSTER) if "listen" in flag]

    assert len(urls) == 2
    assert all("http://127." in flag for flag in urls)


def test_the_api_server_keeps_the_default_admission() -> None:
    flags = " ".join(render.api_server(CLUSTER))

    assert "--disable-admission-plugins" not in flags
    assert "--feature-gates" not in flags


def test_the_kubeconfig_names_one_user() -> None:
    text = render.kubeconfig("https://10.0.0.1:6443", "me", "/ca", "/crt", "/key")
    parsed = json.loads(text)

    assert parsed["users"] == [
        {"name": "me", "user": {"client-certificate": "/crt", "client-key": "/key"}}
    ]
    assert parsed["contexts"][0]["name"] == parsed["current-context"]


def test_every_packet_rule_is_about_the_clusters_bridge() -> None:
    for rule in network.packet_rules(CLUSTER):
        assert rule[rule.index("-i") + 1] == CLUSTER.bridge


@pytest.mark.parametrize(("mask", "may"), [("000001ffffffffff", True), ("000001fffeffffff", False)])
def test_the_capability_is_read_from_the_effective_set(mask: str, *, may: bool) -> None:
    status = f"Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t{mask}\n"

    assert render.may_lower_oom_score(status) is may


def test_the_node_finds_its_programs() -> None:
    environment = render.node_environment(NODE, Path("/c"), Path("/k"))

    assert environment["CONTAINERD_BIN"] == "/c"
    assert environment["KUBERNETES_BIN"] == "/k"
    assert environment["NODE_NAME"] == "local-node2"
