"""Reads when the sources of a kept pod's environment changed, never what is in them.

`apply` calls it, after everything that anybody waits for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from controller.environment import MAX_SOURCES, Found, Read, Source, SourceKind, last_change
from controller.errors import Denied, NotYet
from controller.model import CONFIG_MAP, SECRET, Key

if TYPE_CHECKING:
    from controller.doors import KubeDoor
    from controller.model import Pod

KINDS = {SourceKind.CONFIG_MAP: CONFIG_MAP, SourceKind.SECRET: SECRET}
# Most pods have fewer; of those that have more, none may fill the API server's queue.
AT_ONCE = 8
# The next stop or start waits at most this long for it, and only where the API server hangs.
LONGEST_SECONDS = 5.0


async def read_sources(kube: KubeDoor, namespace: str, pod: Pod) -> Read:
    """All of them, or the first error that is worth another try."""
    free = asyncio.Semaphore(AT_ONCE)

    async def look(source: Source) -> Found:
        async with free:
            return await _look(kube, namespace, source)

    wanted = pod.environment.sources[:MAX_SOURCES]
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            # One that fails must not leave the others behind, still asking.
            answers = await asyncio.gather(*(look(one) for one in wanted), return_exceptions=True)
    except TimeoutError as error:
        raise NotYet(f"the sources of pod {pod.name} are not read in time") from error
    found = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return Read(pod.uid, pod.environment.turn, tuple(found))


async def _look(kube: KubeDoor, namespace: str, source: Source) -> Found:
    try:
        metadata = await kube.metadata(KINDS[source.kind], Key(namespace, source.name))
    except Denied:
        return Found(source, denied=True)
    if metadata is None:
        return Found(source, gone=True)
    return Found(source, changed=last_change(metadata))
