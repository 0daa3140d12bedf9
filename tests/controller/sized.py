"""A container with requests that stops within its pod, in the small world of `world`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.errors import NotYet
from controller.model import POD, Body
from tests.controller.warm import warm
from tests.controller.world import APP

if TYPE_CHECKING:
    from tests.controller.world import World

FULL = {"cpu": "100m", "memory": "64Mi"}
SMALL = {"cpu": "1m", "memory": "1Mi"}
LIMITS = {"cpu": "1", "memory": "128Mi"}
RESIZE = ("patch resize", "Pod", "app")


def sized(resources: Body | None = None, **spec: Any) -> Body:
    resources = resources or {"requests": FULL, "limits": LIMITS}
    return {"image": "busybox:1", "command": ["sleep"], "resources": resources, **spec}


async def sized_world(mode: str = "Warm", **container: Any) -> World:
    return await warm(mode, template={"container": sized(**container)})


def asked(world: World) -> Body:
    found: Body = world.kube.objects[POD, APP]["spec"]["containers"][0]["resources"]
    return found


def resizes(world: World) -> int:
    return world.kube.writes.count(RESIZE)


async def lost_answers(call: str) -> None:
    if call == "patch resize":
        raise NotYet("the API server restarts")
