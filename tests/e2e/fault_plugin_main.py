"""Runs on a node: an NRI plugin that is called before the agent and harms it, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent.nri import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeagent.model import ContainerEvent

STALL_SECONDS = 3  # containerd gives a plugin 2 s


class Saboteur:
    """Waits for the moment, then kills or stalls the agent before containerd comes to it."""

    def __init__(self, wanted: dict[str, str]) -> None:
        self.wanted = wanted
        self.done = False

    def synchronize(self, containers: Sequence[ContainerEvent]) -> None:
        """Nothing to learn."""

    def create_container(self, event: ContainerEvent) -> None:
        self._at("CreateContainer", event)

    def post_create_container(self, event: ContainerEvent) -> None:
        self._at("PostCreateContainer", event)

    def start_container(self, event: ContainerEvent) -> None:
        self._at("StartContainer", event)

    def post_start_container(self, event: ContainerEvent) -> None:
        """Too late for harm."""

    def answered(self) -> None:
        """Nothing is left to do."""

    def _at(self, moment: str, event: ContainerEvent) -> None:
        here = (moment, event.pod_name, event.pod_namespace)
        if self.done or here != (
            self.wanted["moment"],
            self.wanted["pod"],
            self.wanted["namespace"],
        ):
            return
        self.done = True
        found = subprocess.run(
            ["pgrep", "-f", "python.* -m nodeagent"], capture_output=True, text=True, check=True
        )
        pids = [int(pid) for pid in found.stdout.split()]
        harm = signal.SIGKILL if self.wanted["fault"] == "kill" else signal.SIGSTOP
        for pid in pids:
            os.kill(pid, harm)
        if harm is signal.SIGSTOP:
            threading.Timer(STALL_SECONDS, resume, [pids]).start()
        print("harmed", moment, pids, flush=True)


def resume(pids: list[int]) -> None:
    """Let stalled processes go on."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def main() -> None:
    def changed(connected: bool, why: str) -> None:
        print("ready" if connected else f"away: {why}", flush=True)

    Client(
        Path("/run/nri/nri.sock"),
        Saboteur(json.loads(sys.argv[1])),
        changed,
        lambda *_: None,
        name="fault",
        index="00",
    ).run()


if __name__ == "__main__":
    main()
