"""The sockets of the gates of supervised containers, and the folder that each shares with us.

processes.py gives the orders and is told what was heard; a peer that is not the gate is nobody.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import structlog

from nodeagent.paths import SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nodeagent.paths import Paths
    from nodeagent.store import Store

Word = Literal["hello stopped", "hello running", "hello stopping", "started", "stopped"]

_LONGEST = 64  # bytes of a message
_MESSAGE = re.compile(
    rb"(?:(hello) 1 (?:(stopped|stopping)|(running) [1-9]\d{0,9})|(started) [1-9]\d{0,9}|(stopped))"
)
_CREDENTIALS = struct.Struct("3i")
_BACKLOG = 8
_ACCEPTS = 16  # at one go, before the other roots have their turn
_MESSAGES = 200  # of one connection in a second; a gate has a few to say
_PAUSE = 0.05  # seconds in which a root that strangers call at is not listened to
_COMPLAIN_EVERY = 60.0
_log = structlog.get_logger()


def parse(message: bytes) -> Word | None:
    """Read a gate's message; None when it is none."""
    found = _MESSAGE.fullmatch(message)
    if found is None:
        return None
    return cast("Word", b" ".join(part for part in found.groups() if part).decode("ascii"))


@dataclass
class _Door:
    """Where one root's gate calls."""

    uid: str
    listener: socket.socket
    gate: socket.socket | None = None
    heard: int = 0  # messages since `since`
    since: float = 0.0
    closed_until: float = 0.0
    complained: float = field(default=-_COMPLAIN_EVERY)


class Gates:
    """All connections, in a thread of their own that never waits for anything else."""

    def __init__(self, paths: Paths, store: Store) -> None:
        """Start with nobody; both callbacks come from the thread."""
        self._paths, self._store = paths, store
        self._lock = threading.Lock()
        self._doors: dict[str, _Door] = {}
        self._of: dict[int, _Door] = {}  # by descriptor, of the listener or of the gate
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.EPOLLIN)
        self._stopping = False
        self.on_heard: Callable[[str, Word], None] = lambda _uid, _word: None
        self.on_lost: Callable[[str], None] = lambda _uid: None

    def start(self) -> threading.Thread:
        """Run the thread."""
        thread = threading.Thread(target=self._run, name="gates", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the thread and all connections, as the end of the program does."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def listen(self, uid: str) -> None:
        """Let the gate of a root call; fine when it may already."""
        with self._lock:
            if uid in self._doors:
                return
            folder = self._paths.gate_folder(uid)
            _make_folder(folder)
            door = _Door(uid, _listener(folder))
            self._doors[uid] = self._of[door.listener.fileno()] = door
            self._poll.register(door.listener, select.EPOLLIN)

    def close(self, uid: str) -> None:
        """Let nobody call for this root any more; fine when nobody could."""
        with self._lock:
            door = self._doors.pop(uid, None)
            if door is not None:
                self._hang_up(door)
                self._drop(door.listener)

    def send(self, uid: str, order: str) -> bool:
        """Say something to a root's gate; False when it is not there or does not listen."""
        with self._lock:
            door = self._doors.get(uid)
            if door is None or door.gate is None:
                return False
            try:
                door.gate.send(order.encode("ascii"))
            except OSError:
                self._shut(door)
                return False
            return True

    def hang_up(self, uid: str) -> None:
        """Make a root's gate call again, and say how it is."""
        with self._lock:
            door = self._doors.get(uid)
            if door is not None:
                self._shut(door)

    def _run(self) -> None:
        while not self._stopping:
            for fd, _ in self._poll.poll(self._open_again()):
                door = self._of.get(fd)
                if door is None:
                    continue
                try:
                    if fd == door.listener.fileno():
                        self._accept(door)
                    else:
                        self._hear(door)
                except Exception:  # noqa: BLE001 - without this thread nothing warm starts any more
                    _log.exception("gate not heard", root=door.uid)
        for uid in list(self._doors):
            self.close(uid)

    def _open_again(self) -> float | None:
        """Listen again where a pause has ended; in how many seconds the next one does."""
        now, left = time.monotonic(), []
        with self._lock:
            for door in self._doors.values():
                if door.closed_until and door.closed_until <= now:
                    door.closed_until = 0.0
                    self._poll.register(door.listener, select.EPOLLIN)
                elif door.closed_until:
                    left.append(door.closed_until - now)
        return min(left) if left else None

    def _accept(self, door: _Door) -> None:
        for _ in range(_ACCEPTS):
            try:
                peer, _ = door.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._pause(door, f"accept: {error.strerror}")
                return
            pid, _, _ = _CREDENTIALS.unpack(
                peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            gate = self._store.get(door.uid).supervised
            if gate is None or pid != gate.pid:
                peer.close()
                self._pause(door, f"process {pid} is not the gate")
                return
            peer.setblocking(False)
            with self._lock:
                if self._doors.get(door.uid) is not door:
                    peer.close()
                    return
                self._hang_up(door)
                door.gate, self._of[peer.fileno()] = peer, door
                self._poll.register(peer, select.EPOLLIN)

    def _hear(self, door: _Door) -> None:
        gate = door.gate
        if gate is None:
            return
        try:
            message = gate.recv(_LONGEST + 1)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        now = time.monotonic()
        if now - door.since > 1.0:
            door.since, door.heard = now, 0
        door.heard += 1
        word = parse(message) if door.heard <= _MESSAGES else None
        if word is not None:
            self.on_heard(door.uid, word)
            return
        with self._lock:
            if door.gate is gate:
                self._hang_up(door)
        if message:
            self._pause(door, f"the gate says {message[:_LONGEST]!r}")
        self.on_lost(door.uid)

    def _pause(self, door: _Door, why: str) -> None:
        """Keep who floods a root from taking the time of the others, and from filling the log."""
        now = time.monotonic()
        if now - door.complained >= _COMPLAIN_EVERY:
            door.complained = now
            _log.warning("gate's socket", root=door.uid, why=why)
        with self._lock:
            if self._doors.get(door.uid) is door and not door.closed_until:
                door.closed_until = now + _PAUSE
                self._poll.unregister(door.listener)

    def _hang_up(self, door: _Door) -> None:
        if door.gate is not None:
            self._drop(door.gate)
            door.gate = None

    @staticmethod
    def _shut(door: _Door) -> None:
        if door.gate is not None:
            with suppress(OSError):
                door.gate.shutdown(socket.SHUT_RDWR)  # the thread finds it, and tells

    def _drop(self, used: socket.socket) -> None:
        self._of.pop(used.fileno(), None)
        with suppress(OSError):
            self._poll.unregister(used)
        used.close()


def _make_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # mkdir's mode is the umask's, too; the container's user must get through


def _listener(folder: Path) -> socket.socket:
    """Put a new socket in the place of an old agent's, at once."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    draft = folder / f".{SOCKET}.new"
    draft.unlink(missing_ok=True)
    # By the folder's descriptor: a socket's path may have 107 bytes only.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made.bind(f"/proc/self/fd/{descriptor}/{draft.name}")
    finally:
        os.close(descriptor)
    draft.chmod(0o666)
    made.listen(_BACKLOG)
    draft.rename(folder / SOCKET)
    return made


def write_state(path: Path, word: str, begun_ms: int) -> None:
    """Say in the container how its command is; whole or not at all, and not for after a reboot."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(
        draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
    )
    try:
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, f"{word} {begun_ms}\n".encode("ascii"))
    finally:
        os.close(descriptor)
    draft.rename(path)


def read_begun(path: Path) -> int:
    """Read when the command last started, from before the agent's restart; 0: not known."""
    try:
        _, _, begun = path.read_text("ascii").strip().partition(" ")
        return int(begun)
    except (OSError, ValueError):
        return 0


def remove_folder(folder: Path) -> None:
    """Remove what gate and agent shared; fine when it is absent."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
