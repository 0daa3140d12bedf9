"""A command that ended for good is not run again unasked, whatever becomes of its pod."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model import POD, SC, SCI
from tests.controller.world import APP, World


def ended(exit_code: int) -> dict[str, Any]:
    state = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    entry = {"name": "main", "state": state, "imageID": "sha256:busybox"}
    phase = "Failed" if exit_code else "Succeeded"
    return {"status": {"phase": phase, "containerStatuses": [entry]}}


async def finished(policy: str, code: int) -> World:
    world = World()
    pod = {"containers": [{"name": "main", "image": "busybox:1"}], "restartPolicy": policy}
    world.create(template={"spec": pod})
    await world.settle()
    world.agents.stop("n1", world.kube.objects[POD, APP]["metadata"]["uid"])
    world.kube.change(POD, APP, ended(code))
    await world.settle()
    return world


@pytest.mark.parametrize("lost", ["pod", "instance", "pod, and another replica"])
@pytest.mark.parametrize(
    ("policy", "code", "reason"),
    [("Never", 0, "Completed"), ("Never", 3, "Failed"), ("OnFailure", 0, "Completed")],
)
async def test_it_stays_finished_when_its_pod_is_removed(
    policy: str, code: int, reason: str, lost: str
) -> None:
    world = await finished(policy, code)
    assert world.condition("ConsumerReady") == ("False", reason)
    said = world.message("ConsumerReady")
    if lost == "instance":
        world.kube.remove(SCI, APP)
    else:
        world.kube.remove(POD, APP)
    if "replica" in lost:
        await world.restart_controller()
    await world.settle()

    assert world.get(POD, APP) is None
    assert world.condition("ConsumerReady") == ("False", reason)
    assert world.message("ConsumerReady") == said
    world.run(False)
    await world.settle()
    assert world.status()["phase"] == "Stopped"
    assert "finished" not in world.status()
    world.run(True)
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_a_pod_that_was_deleted_before_its_command_ended_comes_back() -> None:
    world = World()
    pod = {"containers": [{"name": "main", "image": "busybox:1"}], "restartPolicy": "Never"}
    world.create(template={"spec": pod})
    await world.settle()
    uid = world.kube.objects[POD, APP]["metadata"]["uid"]
    world.kube.remove(POD, APP)
    world.kube.change(POD, APP, ended(0))
    await world.settle()

    assert world.kube.objects[POD, APP]["metadata"]["uid"] != uid
    assert world.status()["phase"] == "Running"


async def test_what_it_wrote_is_put_on_disk() -> None:
    world = await finished("Never", 0)

    root = next(iter(world.agents.agents["n1"].roots.values()))
    assert root.synced


async def test_a_changed_template_runs_it_again_only_where_the_policy_says_so() -> None:
    for policy in ("OnNextStart", "Restart"):
        world = await finished("Never", 0)
        world.kube.change(SC, APP, {"spec": {"updatePolicy": policy}})
        spec = {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1", "args": ["2"]}],
        }
        world.kube.change(SC, APP, {"spec": {"template": {"spec": spec}}})
        await world.settle()
        expected = "Running" if policy == "Restart" else "Pending"
        assert world.status()["phase"] == expected


@pytest.mark.parametrize(
    ("operator", "code", "ends"),
    [("In", 42, False), ("In", 3, True), ("NotIn", 3, False), ("NotIn", 42, True)],
)
async def test_a_command_that_kubelet_restarts_by_a_rule_has_not_finished(
    operator: str, code: int, ends: bool
) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}
    main = {"name": "main", "image": "busybox:1", "restartPolicy": "Never"}
    world = World()
    world.create(template={"spec": {"containers": [main | {"restartPolicyRules": [rule]}]}})
    await world.settle()
    world.agents.stop("n1", world.kube.objects[POD, APP]["metadata"]["uid"])
    # Kubelet says first that it ended, and what follows only with its next look.
    at_first = ended(code)
    at_first["status"]["phase"] = "Running"
    world.kube.change(POD, APP, at_first)
    await world.settle()

    assert ("finished" in world.status()) == ends
    assert (world.condition("ConsumerReady") == ("False", "Failed")) == ends
