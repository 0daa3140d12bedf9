"""An NRI plugin of the test's own that harms the agent at one chosen moment, on its node."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from tests.e2e.cluster import ROOT, eventually

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster


class FaultPlugin:
    """Runs tests/e2e/fault_plugin_main.py on the node while the block lasts."""

    def __init__(
        self, cluster: Cluster, node: str, *, moment: str, fault: str, pod: str, namespace: str
    ) -> None:
        self.cluster = cluster
        self.node = node
        self.wanted = json.dumps(
            {"moment": moment, "fault": fault, "pod": pod, "namespace": namespace}
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.log = ROOT / "build" / f"fault-{namespace}.log"

    def __enter__(self) -> Self:
        number = self.cluster.nodes().index(self.node) + 1
        self.log.parent.mkdir(exist_ok=True)
        command = f"cd {ROOT} && exec $PYTHON -m tests.e2e.fault_plugin_main '{self.wanted}'"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "make",
                    "-s",
                    "node-exec",
                    f"N={number}",
                    f"CMD=PYTHON={sys.executable}; {command}",
                ],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(
            lambda: "ready" in self.log.read_text(),
            what="the fault plugin registered",
            deadline=60,
            explain=self.log.read_text,
        )
        return self

    def wait_until_done(self) -> None:
        """Wait until containerd came to the chosen moment and the agent was harmed."""
        eventually(
            lambda: "harmed" in self.log.read_text(),
            what="the moment",
            deadline=120,
            explain=self.log.read_text,
        )

    def __exit__(self, *_: object) -> None:
        self.cluster.node_exec(self.node, "pkill -f [f]ault_plugin_main; true")
        if self.process:
            self.process.wait(timeout=20)
