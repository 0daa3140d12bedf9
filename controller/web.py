"""Health and metrics over HTTP.

/livez checks progress, /readyz whether a replica can act or take over, /metrics counts.

Plain text for kubelet and Prometheus; what is checked comes in as functions from `__main__`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from controller import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


async def serve(
    port: int,
    *,
    live: Mapping[str, Callable[[], bool]],
    ready: Mapping[str, Callable[[], bool]],
    before_metrics: Callable[[], None],
) -> web.AppRunner:
    """Starts the server; the caller cleans the runner up."""

    async def livez(_request: web.Request) -> web.Response:
        return answer(live)

    async def readyz(_request: web.Request) -> web.Response:
        return answer(ready)

    async def counts(_request: web.Request) -> web.Response:
        before_metrics()
        return web.Response(body=metrics.text(), content_type="text/plain")

    app = web.Application()
    app.add_routes(
        [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", counts)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def answer(checks: Mapping[str, Callable[[], bool]]) -> web.Response:
    """200 when all hold, 503 with the names of those that do not."""
    failed = [name for name, check in checks.items() if not check()]
    if failed:
        return web.Response(status=503, text="failed: " + ", ".join(failed) + "\n")
    return web.Response(text="ok\n")
