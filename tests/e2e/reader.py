"""Reads of the API on one kept connection: what a test polls must not cost a program a look.

`Cluster.get` and `Cluster.objects` use it; whatever changes something goes through kubectl.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import urlencode

from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration

OURS = "/apis/stoppablecontainer.xtlsoft.top/v1alpha1"
PLACES = {
    "pod": ("/api/v1", "pods"),
    "node": ("/api/v1", "nodes"),
    "event": ("/api/v1", "events"),
    "configmap": ("/api/v1", "configmaps"),
    "service": ("/api/v1", "services"),
    "daemonset": ("/apis/apps/v1", "daemonsets"),
    "endpointslice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "pdb": ("/apis/policy/v1", "poddisruptionbudgets"),
    "serviceaccount": ("/api/v1", "serviceaccounts"),
    "stoppablecontainer": (OURS, "stoppablecontainers"),
    "stoppablecontainerinstance": (OURS, "stoppablecontainerinstances"),
}
SHORT = {"stc": "stoppablecontainer", "stci": "stoppablecontainerinstance"}
SECONDS = 30.0


@cache
def client(kubeconfig: str) -> Any:
    """One connection pool for a process."""
    found = Configuration()
    config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=kubeconfig, client_configuration=found
    )
    return ApiClient(found)


def read(kubeconfig: str, kind: str, name: str, namespace: str, selector: str = "") -> Any:
    """The object, or None when there is none; a list when no name is given."""
    base, plural = PLACES[SHORT.get(kind, kind.removesuffix("s"))]
    scope = f"/namespaces/{namespace}" if namespace else ""
    query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
    path = f"{base}{scope}/{plural}{f'/{name}' if name else ''}{query}"
    used = client(kubeconfig)
    try:
        answer = used.call_api(
            *used.param_serialize(
                "GET",
                path,
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
            ),
            _request_timeout=SECONDS,
        )
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    body = answer.read()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise AssertionError(f"GET {path}: {answer.status} {body[:500]!r}")
    return json.loads(body)
