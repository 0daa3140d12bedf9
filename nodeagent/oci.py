"""Rewrites a stored OCI spec so that runc builds the container where it belongs. Pure.

admission.py reads the spec from the runtime and stores what comes out, in one update.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nodeagent.accounts import groups_of, primary_of
from nodeagent.errors import Refused
from nodeagent.model import AGENT_IN_CONTAINER, GATE_IN_CONTAINER, GUARD
from nodeagent.paths import SOCKET

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


def _bind(source: str, destination: str, *more: str) -> Spec:
    # Below /dev, a tmpfs, so that the mount point does not stay in the kept root.
    return {
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": ["bind", "ro", "nosuid", "nodev", *more, "private"],
    }


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


def _user(user: Spec, admission: Admission, accounts: Accounts) -> Spec:
    """Give the process's user the groups that its uid has in the kept root."""
    found = primary_of(accounts, user.get("uid", 0))
    if found is None:
        return user
    name, gid = found
    user = dict(user)
    old, listed = user.get("gid", 0), list(user.get("additionalGids") or [])
    if admission.gid_from_root and gid != old:
        user["gid"] = gid
        # The runtime puts the primary group first; it was the image's.
        listed = [gid, *(listed[1:] if listed[:1] == [old] else listed)]
    if admission.groups_from_root:
        listed += groups_of(accounts, name)
    if listed:
        user["additionalGids"] = list(dict.fromkeys(listed))
    return user


def _gated(command: list[str], spec: Spec, admission: Admission, folder: str) -> list[str]:
    """Put the gate before the command: an init, or one that waits for the agent's word."""
    told = _message_path(spec, admission)
    mode = ["supervise", "-s", f"{AGENT_IN_CONTAINER}/{SOCKET}"] if folder else ["init"]
    return [GATE_IN_CONTAINER, *mode, *(["-m", told] if told else []), "--", *command]


def on_root(
    spec: Spec,
    *,
    root: str,
    container_id: str,
    admission: Admission,
    image: Image,
    gate: str,
    folder: str,
    accounts: Accounts,
) -> Spec:
    """Put a consumer's container onto its persistent root.

    The spec is not changed, and shares with the new one what stays: a copy of it all would take
    most of the time that a node's other containers wait for this one.
    """
    process = _process(spec)
    command = _command(_own_command(spec), admission, image)
    linux = spec.get("linux") or {}
    if any(n.get("type") == "user" for n in linux.get("namespaces") or []):
        message = "hostUsers: false is not possible: an overlay cannot be mapped to other users"
        raise Refused(message)
    mounts = [m for m in spec.get("mounts") or [] if not _is_image_volume(m, container_id)]
    if admission.init:
        shared = folder if admission.supervise else ""
        command = _gated(command, spec, admission, shared)
        mounts.append(_bind(gate, GATE_IN_CONTAINER))
        if shared:
            # The folder: a socket that a new agent makes would not be seen through a bind of it.
            mounts.append(_bind(shared, AGENT_IN_CONTAINER, "noexec"))
    process = {**process, "args": command}
    if isinstance(process.get("user"), dict):
        process["user"] = _user(process["user"], admission, accounts)
    root_of = {**(spec.get("root") or {}), "path": root}
    return {**spec, "process": process, "root": root_of, "mounts": mounts}


def sandbox_pid(spec: Spec) -> int:
    """Find the sandbox's process in the paths of the namespaces that it shares; 0: not named."""
    linux = spec.get("linux")
    namespaces = linux.get("namespaces") if isinstance(linux, dict) else None
    for namespace in namespaces if isinstance(namespaces, list) else ():
        if isinstance(namespace, dict) and namespace.get("type") in {"network", "ipc", "uts"}:
            found = re.fullmatch(r"/proc/([1-9]\d{0,9})/ns/\w+", str(namespace.get("path", "")))
            if found:
                return int(found.group(1))
    return 0


def holding(spec: Spec, *, gate: str) -> Spec:
    """Let a provider's container do nothing but hold its image."""
    _own_command(spec)
    process = {**_process(spec), "args": [GATE_IN_CONTAINER, "hold"]}
    mounts = [*(spec.get("mounts") or []), _bind(gate, GATE_IN_CONTAINER)]
    return {**spec, "process": process, "mounts": mounts}
