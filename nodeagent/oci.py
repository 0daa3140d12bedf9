"""Rewrites a stored OCI spec so that runc builds the container where it belongs. Pure.

admission.py reads the spec from the runtime and stores what comes out, in one update.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from nodeagent.accounts import groups_of, primary_of
from nodeagent.errors import Refused
from nodeagent.model import GATE_IN_CONTAINER, GUARD

if TYPE_CHECKING:
    from nodeagent.accounts import Accounts
    from nodeagent.model import Admission, Image

Spec = dict[str, Any]


def _process(spec: Spec) -> Spec:
    process = spec.get("process")
    if not isinstance(process, dict) or not isinstance(process.get("args"), list):
        message = "the runtime's spec has no process.args"
        raise Refused(message)
    return process


def _own_command(spec: Spec) -> list[str]:
    """Return what stands behind the guard; a command without it was not made by the controller."""
    args = _process(spec)["args"]
    if args[:1] != [GUARD]:
        message = (
            f"the command does not begin with {GUARD}: this pod was not made by the controller"
        )
        raise Refused(message)
    return list(args[1:])


def _add_gate(spec: Spec, gate: str) -> None:
    # Below /dev, a tmpfs, so that the mount point does not stay in the kept root.
    spec["mounts"] = [
        *spec.get("mounts", []),
        {
            "destination": GATE_IN_CONTAINER,
            "type": "bind",
            "source": gate,
            "options": ["bind", "ro", "nosuid", "nodev", "private"],
        },
    ]


def _is_image_volume(mount: Spec, container_id: str) -> bool:
    # The runtime makes a throw-away folder for each VOLUME of an image; it would hide the kept
    # data.
    inner = f"/io.containerd.grpc.v1.cri/containers/{container_id}/volumes/"
    return inner in str(mount.get("source", ""))


def _message_path(spec: Spec, admission: Admission) -> str:
    """Find terminationMessagePath: kubelet mounts a file of its own there.

    pkg/kubelet/kuberuntime: .../pods/<uid>/containers/<name>/<eight hex digits>.
    """
    pattern = f"/pods/{admission.pod_uid}/containers/{admission.container}/[0-9a-f]{{8}}"
    for mount in spec.get("mounts") or []:
        if re.search(pattern + "$", str(mount.get("source", ""))):
            return str(mount.get("destination", ""))
    return ""


def _command(rest: list[str], admission: Admission, image: Image) -> list[str]:
    """Apply Kubernetes' rules for command and args, which the guard switched off."""
    entrypoint = [] if image.entrypoint == ("",) else list(image.entrypoint)
    command = [
        *(entrypoint if admission.entrypoint_from_image else []),
        *rest,
        *(image.cmd if admission.cmd_from_image else []),
    ]
    if not command:
        message = "no command: neither the template nor the image names one"
        raise Refused(message)
    return command


def _account(process: Spec, admission: Admission, accounts: Accounts) -> None:
    """Give the process the groups that its uid has in the kept root."""
    user = process.get("user")
    found = primary_of(accounts, user.get("uid", 0)) if isinstance(user, dict) else None
    if not isinstance(user, dict) or found is None:
        return
    name, gid = found
    old, listed = user.get("gid", 0), list(user.get("additionalGids") or [])
    if admission.gid_from_root and gid != old:
        user["gid"] = gid
        # The runtime puts the primary group first; it was the image's.
        listed = [gid, *(listed[1:] if listed[:1] == [old] else listed)]
    if admission.groups_from_root:
        listed += groups_of(accounts, name)
    if listed:
        user["additionalGids"] = list(dict.fromkeys(listed))


def on_root(
    spec: Spec,
    *,
    root: str,
    container_id: str,
    admission: Admission,
    image: Image,
    gate: str,
    accounts: Accounts,
) -> Spec:
    """Put a consumer's container onto its persistent root."""
    new = copy.deepcopy(spec)
    command = _command(_own_command(new), admission, image)
    linux = new.get("linux") or {}
    if any(n.get("type") == "user" for n in linux.get("namespaces") or []):
        message = "hostUsers: false is not possible: an overlay cannot be mapped to other users"
        raise Refused(message)
    new["root"] = {**(new.get("root") or {}), "path": root}
    new["mounts"] = [m for m in new.get("mounts") or [] if not _is_image_volume(m, container_id)]
    if admission.init:
        told = _message_path(new, admission)
        command = [GATE_IN_CONTAINER, "init", *(["-m", told] if told else []), "--", *command]
        _add_gate(new, gate)
    _process(new)["args"] = command
    _account(_process(new), admission, accounts)
    return new


def holding(spec: Spec, *, gate: str) -> Spec:
    """Let a provider's container do nothing but hold its image."""
    new = copy.deepcopy(spec)
    _own_command(new)
    new["mounts"] = list(new.get("mounts") or [])
    _add_gate(new, gate)
    _process(new)["args"] = [GATE_IN_CONTAINER, "hold"]
    return new
