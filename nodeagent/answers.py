"""What the runtime answers, parsed: images without a schema, layers, the signal to stop with. Pure.

runtime.py hands it what it was told; another runtime's answers are refused with a clear reason.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent.errors import Impossible
from nodeagent.model import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proto.vendor import mount_pb2

_MAX_LAYERS = 500
_MAX_SIGNAL = 20
_RTMIN, _RTMAX = 34, 64  # as moby/sys/signal has them, which containerd asks
_REAL_TIME = re.compile(r"RT(?:MIN(?:\+(\d\d?))?|MAX(?:-(\d\d?))?)")


def parse_image(image_id: str, info: str) -> Image:
    """Read the chain and the command out of ImageStatus' verbose JSON, which has no schema."""
    try:
        content = json.loads(info)
        config = content.get("imageSpec", {}).get("config") or {}
        chain_id = content["chainID"]
        entrypoint, cmd = config.get("Entrypoint") or [], config.get("Cmd") or []
        working_dir = config.get("WorkingDir") or ""
        if not isinstance(chain_id, str) or not isinstance(working_dir, str) or not chain_id:
            raise TypeError(info[:80])
        if not (isinstance(entrypoint, list) and isinstance(cmd, list)):
            raise TypeError(info[:80])
        if not all(isinstance(part, str) for part in [*entrypoint, *cmd]):
            raise TypeError(info[:80])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"the runtime does not name the layers of image {image_id}: containerd is needed"
        raise Impossible("RuntimeUnsupported", message) from error
    return Image(image_id, chain_id, tuple(entrypoint), tuple(cmd), working_dir)


def parse_lower(mounts: Iterable[mount_pb2.Mount]) -> tuple[Path, ...]:
    """List a View's layers from top to bottom; one comes as a bind, more as an overlay."""
    found = list(mounts)
    if len(found) == 1 and found[0].type == "bind":
        names = [found[0].source]
    elif len(found) == 1 and found[0].type == "overlay":
        options = [o for o in found[0].options if o.startswith("lowerdir=")]
        names = options[0].removeprefix("lowerdir=").split(":") if options else []
    else:
        names = []
    lower = tuple(Path(name) for name in names)
    plain = all(path.is_absolute() and ".." not in path.parts for path in lower)
    if not lower or not plain or len(lower) > _MAX_LAYERS:
        kinds = ", ".join(mount.type for mount in found) or "nothing"
        message = f"the snapshotter gives {kinds}: only overlayfs is supported"
        raise Impossible("RuntimeUnsupported", message)
    return lower


def parse_stop_signal(metadata: bytes) -> int:
    """Read what the CRI keeps of a container: the pod's own signal, or the image's, or SIGTERM."""
    try:
        named = json.loads(metadata)["Metadata"]["StopSignal"] if metadata else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return signal.SIGTERM
    text = str(named).upper()[:_MAX_SIGNAL].removeprefix("SIG")
    # As moby's signal.ParseSignal: a number, a name, or one of the real-time ones.
    if real_time := _REAL_TIME.fullmatch(text):
        first = text.startswith("RTMIN")
        away = int(real_time[1] or real_time[2] or 0)
        found = _RTMIN + away if first else _RTMAX - away
    elif text.isascii() and text.isdigit():
        found = int(text)
    else:
        found = int(getattr(signal, f"SIG{text}", 0)) if text.isalnum() else 0
    return found if 0 < found <= _RTMAX else signal.SIGTERM
