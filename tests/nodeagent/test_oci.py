"""Specs in, specs out: tests/data/oci/*.json holds both, one case a file."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from nodeagent import oci
from nodeagent.accounts import Accounts
from nodeagent.errors import Refused
from nodeagent.model import GATE_IN_CONTAINER, GUARD, Admission, Image, Role

DATA = Path(__file__).parents[1] / "data" / "oci"
FOLDER = "/base/gates/u1"
GATE = "/base/bin/gate-0123456789ab"


def rewrite(case: dict, spec: oci.Spec) -> oci.Spec:  # type: ignore[type-arg]
    if case["role"] == "provider":
        return oci.holding(spec, gate=GATE)
    flags = {"init": False, "gid_from_root": True, "groups_from_root": True}
    flags |= case.get("admission", {})
    image = case.get("image", {})
    return oci.on_root(
        spec,
        root="/base/instances/u1/rootfs",
        container_id="c1",
        admission=Admission("u1", Role.CONSUMER, "ns", "app", "p1", "main", **flags),
        image=Image("i", "c", tuple(image.get("entrypoint", ())), tuple(image.get("cmd", ()))),
        gate=GATE,
        folder=FOLDER,
        accounts=Accounts(case.get("passwd", ""), case.get("group", "")),
    )


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_spec_becomes_what_the_case_says(path: Path) -> None:
    case = json.loads(path.read_text())
    before = copy.deepcopy(case["input"])
    if "refused" in case:
        with pytest.raises(Refused, match=case["refused"]):
            rewrite(case, case["input"])
    else:
        assert rewrite(case, case["input"]) == case["output"]
        assert GUARD not in json.dumps(case["output"])
    assert case["input"] == before


def test_the_gate_learns_where_the_termination_message_goes() -> None:
    source = "/var/lib/kubelet/pods/p1/containers/main/0a1b2c3d"
    mounts = [
        {"destination": "/etc/hosts", "source": "/var/lib/kubelet/pods/p1/etc-hosts"},
        {"destination": "/dev/termination-log", "source": source},
    ]
    spec = {"process": {"args": [GUARD, "sh"]}, "mounts": mounts}
    made = rewrite({"role": "consumer", "admission": {"init": True}}, spec)
    told = ["init", "-m", "/dev/termination-log", "--", "sh"]
    assert made["process"]["args"] == [GATE_IN_CONTAINER, *told]


def test_a_supervised_command_waits_for_the_agent_in_a_folder_of_its_own() -> None:
    spec = {"process": {"args": [GUARD, "sh", "-c", "x"]}}
    made = rewrite({"role": "consumer", "admission": {"init": True, "supervise": True}}, spec)
    socket = "/dev/.stoppablecontainer/agent/agent.sock"
    told = ["supervise", "-s", socket, "--", "sh", "-c", "x"]
    assert made["process"]["args"] == [GATE_IN_CONTAINER, *told]
    gate, folder = made["mounts"]
    assert gate["destination"] == GATE_IN_CONTAINER
    assert folder == {
        "destination": "/dev/.stoppablecontainer/agent",
        "type": "bind",
        "source": FOLDER,
        "options": ["bind", "ro", "nosuid", "nodev", "noexec", "private"],
    }


@pytest.mark.parametrize(
    ("linux", "pid"),
    [
        ({"namespaces": [{"type": "pid"}, {"type": "ipc", "path": "/proc/42/ns/ipc"}]}, 42),
        ({"namespaces": [{"type": "network", "path": "/proc/7/ns/net"}]}, 7),
        ({"namespaces": [{"type": "network", "path": "/var/run/netns/cni-1"}]}, 0),
        ({"namespaces": [{"type": "mount", "path": "/proc/7/ns/mnt"}]}, 0),
        ({"namespaces": [{"type": "network", "path": "/proc/99999999999/ns/net"}]}, 0),
        ({"namespaces": None}, 0),
        ({}, 0),
        (None, 0),
    ],
    ids=str,
)
def test_the_sandbox_is_known_by_the_namespaces_it_lends(linux: object, pid: int) -> None:
    assert oci.sandbox_pid({"linux": linux}) == pid


def test_the_gate_is_never_below_the_kept_root() -> None:
    spec = {"process": {"args": [GUARD, "hold"]}}
    (mount,) = oci.holding(spec, gate=GATE)["mounts"]
    assert mount["destination"] == GATE_IN_CONTAINER
    assert mount["destination"].startswith("/dev/")
    assert "ro" in mount["options"]


@pytest.mark.parametrize("spec", [{}, {"process": None}, {"process": {"args": "sh"}}])
def test_a_spec_without_a_command_is_refused(spec: oci.Spec) -> None:
    with pytest.raises(Refused):
        oci.holding(spec, gate=GATE)
