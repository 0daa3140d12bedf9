"""Where a StoppableContainer may differ from the same pod: the rows of docs/differences.md.

Each function changes the observation of the bare pod into what the StoppableContainer's must be,
so that a difference is not left out of the comparison: it must be exactly this one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.cluster import Object
    from tests.e2e.podspecs import Case

PRODUCT = "stoppablecontainer.xtlsoft.top"
GUARD = "/.stoppablecontainer/required"
DURING = "DuringSchedulingIgnoredDuringExecution"
GATE = "/dev/.stoppablecontainer/gate"


def owner_and_labels(seen: Object, case: Case) -> None:
    labels = {"managed-by": "stoppablecontainer", "instance": case.name, "role": "consumer"}
    metadata = seen["metadata"]
    metadata["labels"] |= {f"{PRODUCT}/{key}": value for key, value in labels.items()}
    annotations = metadata.setdefault("annotations", {})
    annotations |= {f"{PRODUCT}/root": "OTHER-UID", f"{PRODUCT}/template-hash": "HASH"}
    metadata["ownerReferences"] = [
        {
            "apiVersion": f"{PRODUCT}/v1alpha1",
            "kind": "StoppableContainerInstance",
            "name": case.name,
            "uid": "OTHER-UID",
            "controller": True,
        }
    ]


def command_in_the_api(seen: Object, case: Case) -> None:
    container = seen["spec"]["containers"][0]
    container["command"] = [GUARD, *container.get("command", [])]


def placement(seen: Object, case: Case) -> None:
    spec = seen["spec"]
    spec.pop("topologySpreadConstraints", None)
    affinity = spec.setdefault("affinity", {})
    not_ours = {"key": f"{PRODUCT}/instance", "operator": "NotIn", "values": [case.name]}
    for term in affinity.get("podAntiAffinity", {}).get(f"preferred{DURING}", []):
        term["podAffinityTerm"]["labelSelector"]["matchExpressions"] = [not_ours]
    pin = {"key": "metadata.name", "operator": "In", "values": [spec["nodeName"]]}
    terms = [{"matchFields": [pin]}]
    affinity["nodeAffinity"] = {f"required{DURING}": {"nodeSelectorTerms": terms}}


def root(seen: Object, case: Case) -> None:
    report = reported(seen)
    if not report:
        return
    report["mounts"] = [
        re.sub(r"^(/ .*) \S+$", r"\1 stoppablecontainer", mount)
        for mount in report["mounts"]
        if "/containers/CONTAINER/volumes/" not in mount
    ]
    if first_status(seen).get("restartCount"):
        report["root"] = sorted([*report["root"], "-rw-r--r-- 0 0 /made"], key=path_of)


def first_process(seen: Object, case: Case) -> None:
    report = reported(seen)
    if not case.init or not report:
        return
    report["mounts"] = sorted([*report["mounts"], f"{GATE} ro,nosuid,nodev,relatime"])
    report["devices"] = sorted([*report["devices"], ".stoppablecontainer"])
    report["process"][:3] = ["is process 1: 0", "leads its group: 1", "leads its session: 0"]
    report["process"][5] = "parent outside: 0"
    if not seen["spec"].get("hostPID") and not seen["spec"].get("shareProcessNamespace"):
        report["first"] = ["gate"]


def missing_command(seen: Object, case: Case) -> None:
    ended = first_status(seen).get("state", {}).get("terminated", {})
    if case.init and ended.get("reason") == "StartError":
        command = seen["spec"]["containers"][0]["command"]
        program = next(word for word in command if word != GUARD)
        said = f"exec {program}: No such file or directory"
        ended |= {"exitCode": 127, "reason": "Error", "message": said}
        seen["log"]["main"] = {"said": [f"stoppablecontainer: {said}"]}


def sigterm(seen: Object, case: Case) -> None:
    ended = first_status(seen).get("lastState", {}).get("terminated", {})
    if case.init and ended.get("exitCode") == 128 + 9:
        ended["exitCode"] = 128 + 15


def reported(seen: Object) -> dict[str, list[str]] | None:
    """The first container's report, if it gave one."""
    report: dict[str, list[str]] = seen["log"].get("main", {})
    return report if "process" in report else None


def first_status(seen: Object) -> Object:
    """The status of the first container."""
    statuses: list[Object] = seen["status"].get("containerStatuses", [])
    return next((one for one in statuses if one["name"] == "main"), {})


def path_of(line: str) -> str:
    """The last word."""
    return line.rpartition(" ")[2]


DIFFERENCES: dict[str, Callable[[Object, Case], None]] = {
    "metadata": owner_and_labels,
    "command in the API": command_in_the_api,
    "placement": placement,
    "root": root,
    "first process": first_process,
    "a command that does not exist": missing_command,
    "SIGTERM without a handler": sigterm,
}
# Rows that a comparison of two pods at one moment cannot show, each with the test that does.
ELSEWHERE = {
    "image pull policy": "controller/test_manifests.py",
    "ephemeral storage": "e2e/test_containers.py",
}
