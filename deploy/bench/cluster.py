"""The only kubernetes import of the bench: plain requests, JSON in and out, no models.

The client's models would cost milliseconds of this very process while it is measuring.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Body = dict[str, Any]
GROUP_PATH = "/apis/stoppablecontainer.xtlsoft.top/v1alpha1"
MERGE = "application/merge-patch+json"
JSON = "application/json"
DEADLINE = 30


class ApiError(Exception):
    """The API server refused a request, or was not reached (status 0)."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path}: {status} {text[:500]}")
        self.status = status


class Cluster:
    """The cluster of KUBECONFIG, and the one namespace that the bench makes."""

    def __init__(self, namespace: str, connections: int) -> None:
        config.load_kube_config()  # type: ignore[no-untyped-call]
        settings = client.Configuration.get_default_copy()
        settings.connection_pool_maxsize = connections
        self._api = client.ApiClient(settings)
        self.namespace = namespace
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.stoppables = f"{GROUP_PATH}/namespaces/{namespace}/stoppablecontainers"

    def _send(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = JSON,
        timeout: float = DEADLINE,
    ) -> Any:
        headers = {"Accept": "*/*", "Content-Type": content}
        request = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._api.call_api(*request, _request_timeout=timeout).response
        except HTTPError as error:
            raise ApiError(method, path, 0, str(error)) from error
        if answer.status >= 400:
            raise ApiError(method, path, answer.status, answer.read().decode(errors="replace"))
        return answer

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """GET."""
        return str(self._send("GET", path, query=query).read().decode(errors="replace"))

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Body:
        """GET of an object or a list."""
        return dict(json.loads(self.text(path, query)))

    def create(self, path: str, body: Body) -> None:
        """POST."""
        self._send("POST", path, body).read()

    def merge(self, path: str, body: Body) -> None:
        """Merge patch."""
        self._send("PATCH", path, body, content=MERGE).read()

    def set_running(self, name: str, *, running: bool) -> None:
        """What a user does to start and to stop."""
        self.merge(f"{self.stoppables}/{name}", {"spec": {"running": running}})

    def delete(self, path: str) -> None:
        """DELETE; what is gone is fine."""
        try:
            self._send("DELETE", path).read()
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(self, path: str) -> Iterator[bytes]:
        """One line a change, from what is there now on, for the time of a run."""
        # The read deadline is the whole run's: a quiet watch is no dead one.
        query = {"watch": "true", "timeoutSeconds": "7200"}
        answer = self._send("GET", path, query=query, timeout=7200)
        rest = b""
        for chunk in answer.stream(None):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def last_line(self, pod: str) -> float | None:
        """When the runtime got the latest line of a pod, in seconds since the epoch."""
        query = {"timestamps": "true", "tailLines": "1"}
        try:
            line = self.text(f"{self.pods}/{pod}/log", query)
        except ApiError as error:
            # 400: the container is not there yet.
            if error.status in {400, 404}:
                return None
            raise
        return stamp(line.split(" ", 1)[0]) if line else None

    def ensure_namespace(self) -> None:
        """Make it."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.create("/api/v1/namespaces", body)

    def wait_for_account(self) -> None:
        """A pod is refused until its namespace has the default service account."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        end = time.monotonic() + DEADLINE
        while not self.get(path)["items"]:
            if time.monotonic() > end:
                raise ApiError("GET", path, 200, "no default service account")
            time.sleep(0.1)  # the distance between two looks

    def clear(self) -> None:
        """Delete the namespace; StoppableContainers first, for they need its service account."""
        self.delete(self.stoppables)
        self.delete(f"/api/v1/namespaces/{self.namespace}")

    def versions(self, node: str) -> tuple[tuple[str, str], ...]:
        """Of the cluster and of the node that was measured; no names of hosts."""
        # Without a node nothing was measured; what there is still gets its versions.
        node = node or self.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
        status = self.get(f"/api/v1/nodes/{node}")["status"]
        runtime, _, version = status["nodeInfo"]["containerRuntimeVersion"].partition("://")
        return (
            ("Kubernetes", numbers(self.get("/version")["gitVersion"])),
            (runtime, numbers(version)),
            ("Linux", numbers(status["nodeInfo"]["kernelVersion"])),
            ("cores", str(status["capacity"]["cpu"])),
        )


def stamp(text: str) -> float:
    """RFC 3339 with nanoseconds to seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def numbers(version: str) -> str:
    """Without what a builder has added, which may name a machine."""
    found = re.search(r"\d+(\.\d+)*", version)
    return found.group() if found else ""
