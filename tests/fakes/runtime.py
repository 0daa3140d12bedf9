"""A container runtime that remembers its images, pins and stored specs; layers are real folders."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from nodeagent.errors import Impossible, NotThereYet
from nodeagent.model import GUARD, Image, RuntimeVersion, Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FakeRuntime:
    """What a containerd would remember."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: dict[str, Image] = {}
        self.layers: dict[str, tuple[Path, ...]] = {}
        self.pins: dict[str, str] = {}
        self.specs: dict[str, bytes] = {}
        self.runtimes: dict[str, str] = {}
        self.who = RuntimeVersion("containerd", "2.3.7")
        self.away = False
        self.signals: dict[str, int] = {}
        self.ran: list[tuple[str, tuple[str, ...], float]] = []
        self.run: Callable[[tuple[str, ...]], int] = lambda _command: 0  # what a hook does

    # ---- what a test does ----

    def pull(self, image_id: str, layers: int = 1, **config: Any) -> Image:
        """Have an image, with its layers unpacked."""
        chain = f"sha256:chain-{image_id}"
        folders = tuple(self.folder / f"{image_id}-{n}".replace(":", "-") for n in range(layers))
        for path in folders:
            path.mkdir(parents=True, exist_ok=True)
        self.layers[chain] = folders
        self.images[image_id] = Image(image_id, chain, **config)
        return self.images[image_id]

    def collect_garbage(self) -> None:
        """Lose every image that no pin keeps."""
        self.images.clear()
        self.layers = {k: v for k, v in self.layers.items() if k in self.pins.values()}

    def create(self, container_id: str, args: list[str] | None = None, **more: Any) -> None:
        """Store a container's spec, as the runtime makes it from a pod with a guard."""
        process = {"args": [GUARD, "sleep", "9"] if args is None else args, "cwd": "/"}
        spec = {"process": process, "root": {"path": "rootfs"}, "mounts": [], **more}
        self.specs[container_id] = json.dumps(spec).encode()

    def stored_spec(self, container_id: str) -> dict[str, Any]:
        """Read a stored spec back."""
        spec: dict[str, Any] = json.loads(self.specs[container_id])
        return spec

    # ---- doors.Runtime ----

    def version(self) -> RuntimeVersion:
        self._answer()
        return self.who

    def image(self, image_id: str) -> Image:
        self._answer()
        if image_id not in self.images:
            raise Impossible("LayersMissing", f"the runtime does not have image {image_id}")
        return self.images[image_id]

    def pin(self, uid: str, chain_id: str) -> tuple[Path, ...]:
        self._answer()
        if chain_id not in self.layers:
            raise Impossible("LayersMissing", f"no layers {chain_id}")
        self.pins[uid] = chain_id
        return self.layers[chain_id]

    def unpin(self, uid: str) -> None:
        self._answer()
        self.pins.pop(uid, None)

    def stored(self, container_id: str) -> Stored:
        self._answer()
        return Stored(
            self.specs[container_id], self.runtimes.get(container_id, "io.containerd.runc.v2")
        )

    def replace_spec(self, container_id: str, spec: bytes) -> None:
        self._answer()
        self.specs[container_id] = spec

    def stop_signal(self, container_id: str) -> int:
        self._answer()
        return self.signals.get(container_id, signal.SIGTERM)

    def exec(self, container_id: str, command: tuple[str, ...], seconds: float) -> int:
        self._answer()
        self.ran.append((container_id, command, seconds))
        return self.run(command)

    def _answer(self) -> None:
        if self.away:
            raise NotThereYet("the runtime does not answer")
