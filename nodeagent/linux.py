"""The system calls that Python lacks, under the kernel's names; the only ctypes here.

kernel.py and trees.py build on them. Every failure is a MountError: call, source, target, errno.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nodeagent.errors import MountError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The same numbers on x86_64 and arm64.
_NR_MOVE_MOUNT = 429
_NR_FSOPEN = 430
_NR_FSCONFIG = 431
_NR_FSMOUNT = 432
_NR_OPENAT2 = 437
_NR_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MS_BIND = 4096
_MS_SHARED = 1 << 20
_UMOUNT_NOFOLLOW = 8
_PAGE = 4096

RESOLVE_NO_XDEV = 1
RESOLVE_NO_MAGICLINKS = 2
RESOLVE_NO_SYMLINKS = 4
RESOLVE_BENEATH = 8
RESOLVE_IN_ROOT = 16

# What another kernel or distribution may have as its default is named: an upper must mean the same
# everywhere.
_OVERLAY_OPTIONS = (
    ("index", "off"),  # on: ESTALE when layers come back with other inodes
    ("metacopy", "off"),
    ("redirect_dir", "nofollow"),  # a redirect in an upper would be the user's word for a path
    ("xino", "off"),
)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.syncfs.argtypes = (ctypes.c_int,)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _syscall(act: str, source: str, target: str, number: int, *arguments: object) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise MountError(act, source, target, ctypes.get_errno())
    return result


def _check(act: str, source: str, target: str, result: int) -> None:
    if result != 0:
        raise MountError(act, source, target, ctypes.get_errno())


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """Open below a descriptor with the kernel's own rules for links and mount points."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    return _syscall(
        "openat2",
        "",
        path,
        _NR_OPENAT2,
        directory,
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.sizeof(how),
    )


def umount2(target: Path) -> None:
    """Unmount the top mount of the target; never lazily: EBUSY is an answer we need."""
    _check("unmount", "", str(target), _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW))


def mount_bind(source: Path, target: Path) -> None:
    """Bind a folder."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
    _check("bind", str(source), str(target), result)


def mount_setattr_shared(target: Path) -> None:
    """Make one mount shared."""
    attributes = _MountAttr(0, 0, _MS_SHARED, 0)
    _syscall(
        "mount_setattr",
        "",
        str(target),
        _NR_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(target),
        0,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )


def syncfs(path: Path) -> None:
    """Write back the whole filesystem that holds a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check("syncfs", "", str(path), _libc.syncfs(descriptor))
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MountError("open", "", str(path), error.errno or errno.EIO) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Context:
    """An fsopen(2) context for one overlay; knows what was asked for, for its errors."""

    def __init__(self, source: str, target: Path) -> None:
        self._names = (source, str(target))
        self.fd = _syscall("fsopen", *self._names, _NR_FSOPEN, b"overlay", _FSOPEN_CLOEXEC)

    def _fsconfig(
        self, act: str, command: int, key: bytes | None, value: bytes | None, aux: int
    ) -> None:
        try:
            _syscall(act, *self._names, _NR_FSCONFIG, self.fd, command, key, value, aux)
        except MountError as error:
            raise MountError(act, *self._names, error.errno, self._complaint()) from error

    def _complaint(self) -> str:
        try:
            return os.read(self.fd, 1024).decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def set_string(self, key: str, value: str) -> None:
        act = f"fsconfig {key}={value}"
        self._fsconfig(act, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)

    def set_folder(self, key: str, path: Path) -> None:
        """Hand a layer over by descriptor (6.13: no length limit), by its name before that."""
        with _opened(path) as folder:
            try:
                self._fsconfig(f"fsconfig {key}", _FSCONFIG_SET_FD, key.encode(), None, folder)
            except MountError:
                self.set_string(key, str(path))

    def create(self) -> int:
        self._fsconfig("mount overlay", _FSCONFIG_CMD_CREATE, None, None, 0)
        return _syscall("fsmount", *self._names, _NR_FSMOUNT, self.fd, _FSMOUNT_CLOEXEC, 0)


def mount_overlay(
    source: str, target: Path, lower: tuple[Path, ...], upper: Path, work: Path
) -> None:
    """Mount an overlay complete in one step: prepared detached, then attached."""
    context = _Context(source, target)
    try:
        context.set_string("source", source)
        for folder in lower:
            context.set_folder("lowerdir+", folder)
        context.set_folder("upperdir", upper)
        context.set_folder("workdir", work)
        for key, value in _OVERLAY_OPTIONS:
            context.set_string(key, value)
        mount = context.create()
    except MountError as error:
        if error.errno != errno.EINVAL:
            raise
        # Before 6.5 overlay has no lowerdir+ and says so only at the end.
        _mount_overlay_by_page(source, target, lower, upper, work, error)
        return
    finally:
        os.close(context.fd)
    try:
        _syscall(
            "move_mount",
            source,
            str(target),
            _NR_MOVE_MOUNT,
            mount,
            b"",
            _AT_FDCWD,
            os.fsencode(target),
            _MOVE_MOUNT_F_EMPTY_PATH,
        )
    finally:
        os.close(mount)  # an open one would keep the overlay busy


def _mount_overlay_by_page(  # noqa: PLR0917 - an overlay has as many parts
    source: str, target: Path, lower: tuple[Path, ...], upper: Path, work: Path, first: MountError
) -> None:
    def plain(path: Path) -> str:
        return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")

    options = [f"{key}={value}" for key, value in _OVERLAY_OPTIONS]
    folders = (
        f"lowerdir={':'.join(map(plain, lower))},upperdir={plain(upper)},workdir={plain(work)}"
    )
    text = os.fsencode(",".join([folders, *options]))
    if len(text) >= _PAGE:
        raise first
    result = _libc.mount(source.encode(), os.fsencode(target), b"overlay", 0, text)
    with suppress(MountError):
        _check("mount overlay", source, str(target), result)
        return
    raise first
