"""Folders that hold a user's files: made with an image's attributes, removed by descriptors only.

kernel.py offers both. What lies in such a tree is hostile: no link followed, no mount crossed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent import linux
from nodeagent.errors import MountError

if TYPE_CHECKING:
    from collections.abc import Callable

_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_IMMUTABLE_OR_APPEND = 0x10 | 0x20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_INSIDE = (
    linux.RESOLVE_NO_XDEV
    | linux.RESOLVE_NO_SYMLINKS
    | linux.RESOLVE_NO_MAGICLINKS
    | linux.RESOLVE_BENEATH
)

_AS_ROOT = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS | linux.RESOLVE_NO_XDEV


def make_upper(path: Path, like: Path) -> None:
    """Make an upper in one visible step; an overlay shows its top folder's attributes."""
    draft = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        shutil.rmtree(draft)  # an earlier try; nothing of a user's was ever in it
    draft.mkdir(mode=0o700)
    model = os.open(like, _FOLDER)
    made = os.open(draft, _FOLDER)
    try:
        seen = os.fstat(model)
        os.fchown(made, seen.st_uid, seen.st_gid)
        os.fchmod(made, stat.S_IMODE(seen.st_mode))
        for name in os.listxattr(model):
            if not name.startswith("trusted.overlay."):
                with suppress(OSError):  # the upper's filesystem may not know them
                    os.setxattr(made, name, os.getxattr(model, name))
        os.fsync(made)
    finally:
        os.close(made)
        os.close(model)
    draft.rename(path)


def read_below(root: Path, name: str, limit: int) -> str:
    """Read a file as a process with this root would find it, links and all, and never leave it.

    Empty when it is absent, longer than limit bytes, or anything but a plain file.
    """
    try:
        top = os.open(root, _FOLDER)
    except OSError:
        return ""
    try:
        found = linux.openat2(top, name, os.O_PATH, _AS_ROOT)
    except MountError:
        return ""
    finally:
        os.close(top)
    try:
        # Opening a device does something; so it is looked at before it is opened for reading.
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return ""
        with Path(f"/proc/self/fd/{found}").open("rb") as file:
            content = file.read(limit + 1)
    except OSError:
        return ""
    finally:
        os.close(found)
    return content.decode("utf-8", "surrogateescape") if len(content) <= limit else ""


def _clear_flags(folder: int, name: str, flags: int) -> bool:
    """Take immutable and append-only off; True when there was something to take off."""
    try:
        opened = linux.openat2(folder, name, flags, _INSIDE)
    except MountError:
        return False
    try:
        raw = fcntl.ioctl(opened, _FS_IOC_GETFLAGS, bytes(8))
        value = struct.unpack("L", raw)[0]
        if not value & _IMMUTABLE_OR_APPEND:
            return False
        fcntl.ioctl(opened, _FS_IOC_SETFLAGS, struct.pack("L", value & ~_IMMUTABLE_OR_APPEND))
    except OSError:
        return False
    finally:
        os.close(opened)
    return True


class _Removal:
    """Flattens as it goes: a folder is moved to the top first, so depth costs nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.top = os.open(path, _FOLDER)
        self.prefix = f".removing-{secrets.token_hex(8)}-"
        self.count = 0

    def run(self) -> None:
        while names := os.listdir(self.top):  # noqa: PTH208 - a descriptor, not a path
            for name in names:
                self._remove(self.top, name)

    def _remove(self, folder: int, name: str) -> None:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(kind):
            self._retry(folder, name, kind, lambda: os.unlink(name, dir_fd=folder))
        elif folder == self.top:
            self._empty(name)
            self._retry(folder, name, kind, lambda: os.rmdir(name, dir_fd=folder))
        else:
            to = f"{self.prefix}{self.count}"
            self._retry(
                folder,
                name,
                kind,
                lambda: os.rename(name, to, src_dir_fd=folder, dst_dir_fd=self.top),
            )
        self.count += 1

    def _empty(self, name: str) -> None:
        opened = linux.openat2(self.top, name, _FOLDER, _INSIDE)
        try:
            for entry in os.listdir(opened):  # noqa: PTH208 - a descriptor, not a path
                self._remove(opened, entry)
        finally:
            os.close(opened)

    def _retry(self, folder: int, name: str, kind: int, act: Callable[[], None]) -> None:
        try:
            act()
        except PermissionError:
            # Only files and folders have such flags; opening a device would wake its driver.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
            cleared = _clear_flags(folder, ".", _FOLDER)
            if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
                cleared = _clear_flags(folder, name, flags) or cleared
            if not cleared:
                raise
            act()


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it; a mount inside is an error, never crossed."""
    try:
        removal = _Removal(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MountError("remove", "", str(path), error.errno or errno.EIO) from error
    try:
        removal.run()
        path.rmdir()
    except OSError as error:
        where = f"{path}/.../{error.filename}" if isinstance(error.filename, str) else str(path)
        raise MountError("remove", "", where, error.errno or errno.EIO) from error
    finally:
        os.close(removal.top)
