"""What must outlive a reboot: records and admissions beside each upper, and the fence.

Written with fsync and rename, read with validation; agent.py decides what they mean.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from nodeagent.errors import RecordCorrupt
from nodeagent.model import Admission, Image, Record, Role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nodeagent.paths import Paths

_T = TypeVar("_T")
_VERSION = 1
_LIMIT = 1024 * 1024


def sync_folder(path: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a whole file in place, durable before it has its name."""
    draft = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        draft.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file for good; fine when it is absent."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps({"version": _VERSION, **content}, indent=1, sort_keys=True)
    write_file(path, text.encode() + b"\n")


def _read(path: Path, build: Callable[[dict[str, Any]], _T]) -> _T | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise RecordCorrupt(message) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            raw = file.read(_LIMIT + 1)
        if len(raw) > _LIMIT:
            message = "too long"
            raise ValueError(message)
        content = json.loads(raw)
        if not isinstance(content, dict) or content.get("version") != _VERSION:
            message = f"not a version {_VERSION} record"
            raise ValueError(message)
        return build(content)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        message = f"{path} is not what the agent wrote: {error!r:.200}"
        raise RecordCorrupt(message) from error


def _text(content: dict[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str):
        message = f"{key} is not a string"
        raise TypeError(message)
    return value


def _texts(content: dict[str, Any], key: str) -> tuple[str, ...]:
    value = content[key]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        message = f"{key} is not a list of strings"
        raise TypeError(message)
    return tuple(value)


def _flag(content: dict[str, Any], key: str) -> bool:
    value = content[key]
    if not isinstance(value, bool):
        message = f"{key} is not true or false"
        raise TypeError(message)
    return value


def _expect(content: dict[str, Any], key: str, wanted: str) -> str:
    if _text(content, key) != wanted:
        message = f"{key} is {content[key]!r:.80}, its folder says {wanted!r}"
        raise ValueError(message)
    return wanted


def read_record(paths: Paths, uid: str) -> Record | None:
    """Read a root's record; None when it has none."""

    def build(content: dict[str, Any]) -> Record:
        image = content["image"]
        return Record(
            uid=_expect(content, "uid", uid),
            namespace=_text(content, "namespace"),
            name=_text(content, "name"),
            image_name=_text(content, "image_name"),
            image=Image(
                digest=_text(image, "digest"),
                chain_id=_text(image, "chain_id"),
                entrypoint=_texts(image, "entrypoint"),
                cmd=_texts(image, "cmd"),
                working_dir=_text(image, "working_dir"),
            ),
            synced_for=_text(content, "synced_for"),
            deleting=_flag(content, "deleting"),
        )

    return _read(paths.record(uid), build)


def write_record(paths: Paths, record: Record) -> None:
    """Write a root's record."""
    _write(paths.record(record.uid), asdict(record))


def read_admission(paths: Paths, uid: str, role: Role) -> Admission | None:
    """Read the admitted pod of a role; None when there is none."""

    def build(read: dict[str, Any]) -> Admission:
        # Not in what earlier versions wrote.
        later = ("gid_from_root", "groups_from_root", "supervise")
        content = dict.fromkeys(later, False) | read
        _expect(content, "role", role.value)
        return Admission(
            root_uid=_expect(content, "root_uid", uid),
            role=role,
            namespace=_text(content, "namespace"),
            pod_name=_text(content, "pod_name"),
            pod_uid=_text(content, "pod_uid"),
            container=_text(content, "container"),
            init=_flag(content, "init"),
            entrypoint_from_image=_flag(content, "entrypoint_from_image"),
            cmd_from_image=_flag(content, "cmd_from_image"),
            gid_from_root=_flag(content, "gid_from_root"),
            groups_from_root=_flag(content, "groups_from_root"),
            supervise=_flag(content, "supervise"),
        )

    return _read(paths.admission(uid, role), build)


def write_admission(paths: Paths, admission: Admission) -> None:
    """Write an admission."""
    content = asdict(admission) | {"role": admission.role.value}
    _write(paths.admission(admission.root_uid, admission.role), content)


def forget(paths: Paths, uid: str) -> None:
    """Remove everything that is known of a root, its record last."""
    for role in Role:
        remove_file(paths.admission(uid, role))
    for draft in paths.root(uid).glob(".*.json.new"):
        remove_file(draft)
    remove_file(paths.record(uid))
    with suppress(FileNotFoundError):
        paths.root(uid).rmdir()
        sync_folder(paths.roots)


def read_fence(paths: Paths) -> int:
    """Read the highest fencing number seen; 0 when there was none."""

    def build(content: dict[str, Any]) -> int:
        value = content["fence"]
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            message = "fence is not a number"
            raise TypeError(message)
        return value

    return _read(paths.fence, build) or 0


def write_fence(paths: Paths, fence: int) -> None:
    """Write the highest fencing number seen."""
    _write(paths.fence, {"fence": fence})
