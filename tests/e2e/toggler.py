"""Changes `running` faster than kubectl could, and watches what becomes of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from tests.e2e.stoppable import API_VERSION

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster

THREADS = 10
GROUP, VERSION = API_VERSION.split("/")


def connect(cluster: Cluster) -> Any:
    """A client of its own for each thread."""
    untyped: Any = config
    return untyped.new_client_from_config(config_file=cluster.kubeconfig)


def toggle(
    cluster: Cluster, namespace: str, name: str, *, seconds: int, rate: int, least: int
) -> int:
    """Flip `running` at this rate, from several threads; how often it was accepted.

    A busy machine takes more than these seconds, until it was at least so often.
    """
    begin = time.monotonic() + 0.1

    def work(first: int) -> int:
        api, sent = client.CustomObjectsApi(connect(cluster)), 0
        for turn in range(first, seconds * rate, THREADS):
            at = begin + turn / rate
            if time.monotonic() > begin + seconds and sent * THREADS > least:
                break
            time.sleep(max(0.0, at - time.monotonic()))  # the rate, not a wait for something
            body = {"spec": {"running": turn % 2 == 0}}
            try:
                api.patch_namespaced_custom_object(
                    GROUP, VERSION, namespace, "stoppablecontainers", name, body
                )
            except ApiException as error:
                if error.status != 409:  # only another thread's change in between
                    raise
            else:
                sent += 1
        return sent

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(work, range(THREADS)))


class Sighting(NamedTuple):
    """One event of the watch."""

    kind: str
    uid: str


class PodWatch:
    """Every pod of one name, from before the block to its end."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._api = client.CoreV1Api(connect(cluster))
        self._namespace, self._name = namespace, name
        self._sightings: list[Sighting] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        untyped: Any = watch
        stream = untyped.Watch()
        while not self._ended.is_set():
            for event in stream.stream(
                self._api.list_namespaced_pod,
                self._namespace,
                field_selector=f"metadata.name={self._name}",
                resource_version=stream.resource_version,
                timeout_seconds=1,
            ):
                self._sightings.append(Sighting(event["type"], event["object"].metadata.uid))

    def seen(self) -> set[str]:
        """The uids of all pods that there were."""
        return {sighting.uid for sighting in self._sightings}

    def most_at_once(self) -> int:
        """How many there were at the same time, at the worst moment."""
        alive: set[str] = set()
        most = 0
        for sighting in self._sightings:
            if sighting.kind == "DELETED":
                alive.discard(sighting.uid)
            else:
                alive.add(sighting.uid)
            most = max(most, len(alive))
        return most
