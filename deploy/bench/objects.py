"""The objects that the bench makes, as dicts; pure. Used by `cycles` and `crowd`."""

from __future__ import annotations

from typing import Any

API_VERSION = "stoppablecontainer.xtlsoft.top/v1alpha1"
IMAGE = "busybox:1"

# Obeys SIGTERM at once, also as PID 1, so that a bare pod's end does not wait for its grace.
OBEDIENT = "trap 'kill $! 2>/dev/null; exit 0' TERM; echo up; sleep 1000000 & wait"
# As most people write it: PID 1 has no handler, so a bare pod's end takes the whole grace.
SLEEP = "echo up; exec sleep infinity"
# Looks at the clock every 20 ms without a fork. Frozen it sleeps through its time-out, so thawed it
# runs at once: the line is the user's own first instruction. 100 ms is no freeze on a busy machine.
CLOCK = (
    "trap 'exit 0' TERM; mkfifo /tmp/never; exec 3<>/tmp/never; echo up; last=${EPOCHREALTIME/./}; "
    "while :; do read -t 0.02 -u 3 x; now=${EPOCHREALTIME/./}; "
    "[ $((now - last)) -gt 150000 ] && echo thawed; last=$now; done"
)
# The freeze must be longer than what the clock loop takes for one.
FROZEN_SECONDS = 0.4


def pod_spec(command: str, *, token: bool) -> dict[str, Any]:
    """The same for a bare pod and for a template."""
    return {
        "automountServiceAccountToken": token,
        "containers": [
            {
                "name": "main",
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", command],
            }
        ],
    }


def pinned(spec: dict[str, Any], node: str) -> dict[str, Any]:
    """The same pod, pinned to a node as a consumer is: the scheduler stays on the path."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {
        **spec,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
    }


def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A bare pod."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def stoppable(
    name: str, spec: dict[str, Any], *, mode: str = "Cold", running: bool = False
) -> dict[str, Any]:
    """A StoppableContainer of this stop mode."""
    # Without the field where it says nothing: a product that is too old for it refuses it.
    stop_mode = {} if mode == "Cold" else {"stopMode": mode}
    return {
        "apiVersion": API_VERSION,
        "kind": "StoppableContainer",
        "metadata": {"name": name},
        "spec": {"running": running, "template": {"spec": spec}, **stop_mode},
    }


def phase(body: dict[str, Any]) -> str:
    """A StoppableContainer's phase."""
    return str(body.get("status", {}).get("phase", ""))


def is_ready(body: dict[str, Any]) -> bool:
    """A pod's own Ready."""
    if "deletionTimestamp" in body["metadata"]:
        return False
    conditions = body.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
