"""The API server: the only import of `kubernetes`.

Dicts in and out, a deadline on every call, our own errors.

`apply`, `report`, `leader`, `certs`, `watching` and the periodic LIST call it; it decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration

from controller import metrics, names
from controller.errors import Absent, Conflict, ControllerError, Denied, NotYet
from controller.model import Body, Key, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

DEADLINE_SECONDS = 10.0
LIST_DEADLINE_SECONDS = 60.0
# For how long the server keeps a WATCH open. Within that a bookmark comes about once a minute, so a
# connection without a word for longer is a dead one.
WATCH_SECONDS = (240, 360)
WATCH_SILENCE_SECONDS = 150.0
PAGE = 500
MAX_ANSWER_BYTES = 64 * 1024 * 1024
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
# Alone, so that a server that cannot leave the contents out refuses instead of sending them.
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TIMES = ("creationTimestamp", "managedFields")


class Kube:
    """One client with its connections; `close` it."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._client: Any = ApiClient(configuration)

    @classmethod
    async def connect(cls, kubeconfig: str) -> Kube:
        """With the pod's own token, or with a kubeconfig when one is named."""
        configuration = Configuration()
        if kubeconfig:
            # The package has no types.
            load = cast("Callable[..., Awaitable[None]]", config.load_kube_config)
            await load(
                config_file=kubeconfig, client_configuration=configuration, persist_config=False
            )
        else:
            in_cluster = cast("Callable[..., None]", config.load_incluster_config)
            in_cluster(client_configuration=configuration)
        return cls(configuration)

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.close()

    async def get(self, kind: Kind, key: Key) -> Body | None:
        """The object, None when there is none."""
        try:
            return await self._call("GET", path(kind, key))
        except Absent:
            return None

    async def metadata(self, kind: Kind, key: Key) -> Body | None:
        """When the object was made and written; None when there is none."""
        try:
            answer = await self._call("GET", path(kind, key), accept=METADATA)
        except Absent:
            return None
        # The rest goes at once: `kubectl apply` leaves the contents in an annotation, too.
        known = answer.get("metadata") or {}
        return {name: known[name] for name in TIMES if name in known}

    async def list(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> tuple[list[Body], int]:
        """All pages of a LIST.

        The revision is the first page's, for all of them show that moment.
        """
        items: list[Body] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        revision = 0
        while True:
            where = path(kind, Key(namespace, ""))
            page = await self._call("GET", where, query=query, deadline=LIST_DEADLINE_SECONDS)
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            revision = revision or int(metadata.get("resourceVersion") or 0)
            if not metadata.get("continue"):
                return items, revision
            query["continue"] = metadata["continue"]

    async def watch(
        self, kind: Kind, namespace: str, selector: str, since: int
    ) -> AsyncIterator[tuple[str, Body]]:
        """The events of a WATCH, until the server ends it."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "1",
            "resourceVersion": str(since),
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - jitter
        } | ({"labelSelector": selector} if selector else {})
        where = path(kind, Key(namespace, ""))
        patience = aiohttp.ClientTimeout(
            sock_connect=DEADLINE_SECONDS, sock_read=WATCH_SILENCE_SECONDS
        )
        with _translated("WATCH", where):
            answer = await self._request("GET", _url(where, query), patience, {"Accept": JSON})
            try:
                if answer.status >= 300:
                    raise _translate("WATCH", where, int(answer.status), await answer.read())
                while line := await _line(answer.response.content, where):
                    yield _event(where, line)
            finally:
                answer.response.close()

    async def create(self, kind: Kind, body: Body) -> Body:
        """POST."""
        metrics.api_write(kind.kind, "create")
        where = path(kind, Key(body["metadata"].get("namespace", ""), ""))
        return await self._call("POST", where, body, query=_manager())

    async def apply(
        self, kind: Kind, body: Body, *, subresource: str = "", force: bool = True
    ) -> Body:
        """Server-side apply."""
        metrics.api_write(kind.kind, f"apply {subresource}".strip())
        metadata = body["metadata"]
        where = path(kind, Key(metadata.get("namespace", ""), metadata["name"]), subresource)
        query = _manager() | {"force": "true" if force else "false"}
        return await self._call("PATCH", where, body, query=query, content=APPLY)

    async def patch(
        self, kind: Kind, key: Key, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> Body:
        """Merge patch; strategic for a subresource of a built-in kind."""
        metrics.api_write(kind.kind, f"patch {subresource}".strip())
        content = STRATEGIC if subresource and "." not in kind.api_version else MERGE
        where = path(kind, key, subresource)
        return await self._call("PATCH", where, patch, query=_manager(), content=content)

    async def replace(self, kind: Kind, body: Body) -> Body:
        """PUT."""
        metrics.api_write(kind.kind, "replace")
        metadata = body["metadata"]
        where = path(kind, Key(metadata.get("namespace", ""), metadata["name"]))
        return await self._call("PUT", where, body, query=_manager())

    async def delete(self, kind: Kind, key: Key, uid: str, grace: int | None = None) -> Body | None:
        """DELETE of this uid."""
        metrics.api_write(kind.kind, "delete")
        options: Body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        answer = await self._call("DELETE", path(kind, key), options)
        is_object = "uid" in (answer.get("metadata") or {})
        stays = is_object and "deletionTimestamp" in answer["metadata"]
        # Grace 0 answers with the object and has removed it already.
        return answer if stays and (grace != 0 or answer["metadata"].get("finalizers")) else None

    async def _call(
        self,
        method: str,
        where: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = JSON,
        accept: str = JSON,
        deadline: float = DEADLINE_SECONDS,
    ) -> Body:
        headers = {"Accept": accept, "Content-Type": content}
        with _translated(method, where):
            async with asyncio.timeout(deadline):
                answer = await self._request(method, _url(where, query), deadline, headers, body)
                content_bytes = await answer.read()
        if answer.status >= 300:
            raise _translate(method, where, int(answer.status), content_bytes)
        if len(content_bytes) > MAX_ANSWER_BYTES:
            raise NotYet(f"{method} {where}: the answer is longer than 64 MiB")
        parsed: Body = json.loads(content_bytes)
        return parsed

    async def _request(
        self,
        method: str,
        url: str,
        timeout: float | aiohttp.ClientTimeout,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer's head has come; its body has still to be read."""
        parts = await self._client.param_serialize(
            method,
            url,
            header_params=dict(headers),
            body=dict(body) if body is not None else None,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*parts, _request_timeout=timeout)


@contextmanager
def _translated(method: str, where: str) -> Iterator[None]:
    """What a connection raises, as our own errors."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise NotYet(f"{method} {where}: {error or type(error).__name__}") from error
    except ApiException as error:
        raise _translate(method, where, int(error.status or 0), error.body) from error


# What the API server's status codes are here; the rest is "soon again".
STATUS: dict[int, type[ControllerError]] = {
    400: Denied,
    401: NotYet,
    403: Denied,
    404: Absent,
    405: Denied,
    409: Conflict,
    410: Conflict,
    413: Denied,
    415: Denied,
    422: Denied,
}


def _translate(method: str, where: str, code: int, body: bytes | str | None) -> ControllerError:
    kind = STATUS.get(code, NotYet)
    try:
        message = str(json.loads(body or b"{}").get("message") or code)
    except (ValueError, AttributeError):
        message = str(code)
    # The API's sentence stands alone where people read it; the call is named where only we do.
    return kind(message if kind is Denied else f"{method} {where}: {message}")


async def _line(content: aiohttp.StreamReader, where: str) -> bytes:
    """The next line, empty at the end; the client's buffer bounds it to some MiB."""
    try:
        return await content.readline()
    except LineTooLong as error:
        raise NotYet(f"WATCH {where}: a line is too long") from error


def _event(where: str, line: bytes) -> tuple[str, Body]:
    """One line of a WATCH; a Status in it is an error of the server's."""
    try:
        event = json.loads(line)
        change, body = str(event["type"]), dict(event["object"])
        if change not in {"ERROR", "BOOKMARK"}:
            _ = body["metadata"]["name"]
    except (ValueError, TypeError, KeyError) as error:
        # The connection broke in the middle of a line.
        raise NotYet(f"WATCH {where}: not an event: {line[:80]!r}") from error
    if change == "ERROR":
        raise _translate("WATCH", where, int(body.get("code") or 0), json.dumps(body))
    return change, body


def path(kind: Kind, key: Key, subresource: str = "") -> str:
    """The URL path of an object, or of a collection when the key has no name."""
    base = "/apis/" if "/" in kind.api_version else "/api/"
    parts = [base + kind.api_version]
    if kind.namespaced and key.namespace:
        parts += ["namespaces", quote(key.namespace, safe="")]
    parts.append(kind.plural)
    if key.name:
        parts.append(quote(key.name, safe=""))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def _url(where: str, query: Mapping[str, str] | None) -> str:
    return f"{where}?{urlencode(query)}" if query else where


def _manager() -> dict[str, str]:
    return {"fieldManager": names.FIELD_MANAGER}
