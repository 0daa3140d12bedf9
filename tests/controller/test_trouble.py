"""What goes wrong, on the fakes.

Each trouble has a reason that people read, and ends when its cause does.
"""

from __future__ import annotations

from typing import Any

import pytest

from controller import names
from controller.errors import NodeFailed
from controller.model import POD, SC, SCI, AgentStatus, Key
from tests.controller.world import APP, NAMESPACE, PROVIDER, World

FOREIGN = {"containers": [{"name": "x", "image": "other:1"}]}


@pytest.fixture
async def running() -> World:
    world = World()
    world.create()
    await world.settle()
    return world


def foreign_pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": NAMESPACE} | metadata, "spec": FOREIGN}


@pytest.mark.parametrize("key", [APP, PROVIDER])
@pytest.mark.parametrize("labelled", [False, True])
async def test_a_foreign_pod_with_the_name_is_never_touched(key: Key, *, labelled: bool) -> None:
    world = World()
    labels = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.INSTANCE_LABEL: "app",
        names.ROLE_LABEL: "consumer",
    }
    annotations = {names.ROOT_ANNOTATION: "uid-99"}
    extra: dict[str, Any] = {"labels": labels, "annotations": annotations} if labelled else {}
    pod = world.kube.make(POD, foreign_pod(key.name, **extra))
    uid = pod["metadata"]["uid"]
    world.create()

    await world.settle(30)

    assert world.kube.objects[POD, key]["metadata"]["uid"] == uid
    assert world.status()["phase"] == "Error"
    assert world.condition("ConsumerReady") == ("False", "NameTaken")
    assert "NameTaken" in world.events()
    world.kube.forget(POD, key)
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_a_foreign_instance_with_the_name_is_never_touched() -> None:
    world = World()
    made = world.kube.make(
        SCI, {"metadata": {"name": "app", "namespace": NAMESPACE}, "spec": {"running": False}}
    )
    world.create()

    await world.settle(30)

    assert world.kube.objects[SCI, APP] == made
    assert world.status()["phase"] == "Error"
    assert world.condition("ConsumerReady") == ("False", "NameTaken")
    world.kube.forget(SCI, APP)
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_an_image_that_cannot_be_pulled_is_shown_and_heals() -> None:
    world = World()
    world.bad_images.add("busybox:1")
    world.create()

    await world.settle(30)

    assert world.status()["phase"] == "Error"
    assert world.condition("ImagePinned") == ("False", "ImagePullFailed")
    assert "pull secrets" in world.message("ImagePinned")
    world.bad_images.clear()
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_a_corrected_image_name_heals() -> None:
    world = World()
    world.bad_images.add("busybox:1")
    world.create()
    await world.settle(30)
    spec = {"template": {"container": {"image": "busybox:2"}}}

    world.kube.change(SC, APP, {"spec": spec})
    await world.settle()

    assert world.status()["phase"] == "Running"
    assert world.status()["image"] == "busybox:2"


async def test_a_node_that_no_provider_fits_is_shown_and_a_changed_selector_heals() -> None:
    world = World()
    template = {"container": {"image": "busybox:1"}, "nodeSelector": {"disk": "fast"}}
    world.create(template=template)

    await world.settle(30)

    assert world.condition("NodeAssigned") == ("False", "Unschedulable")
    assert "0/2 nodes" in world.status()["message"]
    world.kube.change(SC, APP, {"spec": {"template": {"nodeSelector": None}}})
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_no_ready_agent_is_shown_with_the_agents_reasons() -> None:
    world = World()
    for node in ("n1", "n2"):
        world.agents.agents[node].status = AgentStatus(False, "NRIUnavailable", "switch NRI on")
    world.create()

    await world.settle(30)

    assert world.condition("NodeAssigned") == ("False", "NoReadyNode")
    assert "NRIUnavailable: switch NRI on" in world.status()["message"]
    world.agents.say("n2", AgentStatus(True, "Ready", ""))
    await world.settle()
    assert world.status()["phase"] == "Running"
    assert world.status()["node"] == "n2"


@pytest.mark.parametrize("role", ["provider", "consumer"])
async def test_a_refused_pod_is_shown_in_the_apis_words_and_heals(role: str) -> None:
    world = World()
    name = "app-provider" if role == "provider" else "app"
    words = "exceeded quota: pods=10"
    world.kube.deny = lambda kind, body: (
        words if kind is POD and body["metadata"]["name"] == name else ""
    )
    world.create()

    await world.settle(30)

    assert world.status()["phase"] == "Error"
    assert world.condition("ConsumerReady") == ("False", "AdmissionDenied")
    assert words in world.status()["message"]
    world.kube.deny = lambda _kind, _body: ""
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_a_bad_template_is_refused_and_heals() -> None:
    world = World()
    world.create(template={})

    await world.settle(30)

    assert world.status()["phase"] == "Error"
    assert world.condition("Accepted") == ("False", "InvalidSpec")
    world.kube.change(SC, APP, {"spec": {"template": {"container": {"image": "busybox:1"}}}})
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_a_root_that_cannot_be_mounted_is_shown_and_heals() -> None:
    world = World()
    for agent in world.agents.agents.values():
        agent.refuse["ensure_root"] = NodeFailed("mount overlay -> /x: Invalid argument")
    world.create()

    await world.settle(30)

    assert world.status()["phase"] == "Error"
    assert world.condition("RootReady") == ("False", "MountFailed")
    assert "Invalid argument" in world.status()["message"]
    for agent in world.agents.agents.values():
        agent.refuse.clear()
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_what_was_announced_of_a_root_that_was_never_made_goes_with_the_object() -> None:
    world = World()
    world.bad_images.add("busybox:1")
    world.create()
    await world.settle()
    assert world.agents.agents["n1"].admissions
    world.kube.remove(SC, APP)

    await world.settle()

    assert world.get(SC, APP) is None
    assert world.agents.agents["n1"].admissions == {}


async def test_an_init_container_that_failed_for_good_is_not_run_again() -> None:
    world = World()
    pod = {"containers": [{"name": "main", "image": "busybox:1"}], "restartPolicy": "Never"}
    world.create(template={"spec": pod})
    await world.settle()
    uid = world.kube.objects[POD, APP]["metadata"]["uid"]
    world.agents.stop("n1", uid)
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    waiting = {"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}, "imageID": ""}
    status = {"phase": "Failed", "containerStatuses": [waiting]}
    status |= {"initContainerStatuses": [{"name": "first", "state": ended}]}
    world.kube.change(POD, APP, {"status": status})

    await world.settle()

    assert world.kube.objects[POD, APP]["metadata"]["uid"] == uid
    assert world.condition("ConsumerReady") == ("False", "Failed")
    assert "init container first: Error, exit code 3" in world.message("ConsumerReady")


async def test_claims_place_the_provider_and_are_let_go_when_the_root_is_made() -> None:
    world = World()
    claim = {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}
    volumes = [claim, {"name": "scratch", "emptyDir": {}}]
    container = {"image": "busybox:1", "command": ["sleep", "1000"]}
    made: list[Any] = []
    world.kube.watchers.append(
        lambda change: (
            made.append(change[2]["spec"].get("volumes"))
            if change[1] == "ADDED" and change[2]["metadata"]["name"] == PROVIDER.name
            else None
        )
    )
    world.create(template={"container": container, "volumes": volumes})
    await world.settle()

    assert made == [[claim], None]
    assert world.status()["phase"] == "Running"
    assert world.kube.objects[POD, APP]["spec"]["volumes"] == volumes
