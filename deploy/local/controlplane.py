"""etcd, API server, controller manager and scheduler: plain processes of the machine."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from deploy.local import pki, process, render, toolchain
from deploy.local.paths import API_SERVICE, Cluster

if TYPE_CHECKING:
    from pathlib import Path

# In the order in which they start; they end in the opposite one.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_READY_SECONDS = 90.0


class ControlPlaneFailed(Exception):
    """A component ended or did not become ready."""


def start(cluster: Cluster) -> list[str]:
    """Start what does not run; the names of what was started."""
    _write_credentials(cluster)
    commands = {
        "etcd": (toolchain.ETCD, render.etcd(cluster)),
        "kube-apiserver": (toolchain.KUBERNETES, render.api_server(cluster)),
        "kube-controller-manager": (toolchain.KUBERNETES, render.controller_manager(cluster)),
        "kube-scheduler": (toolchain.KUBERNETES, render.scheduler(cluster)),
    }
    started = []
    for name in COMPONENTS:
        if process.read_alive(_record(cluster, name)) is not None:
            continue
        tool_set, arguments = commands[name]
        command = [str(toolchain.program(tool_set, name)), *arguments]
        process.start(_record(cluster, name), cluster.logs / f"{name}.log", command)
        started.append(name)
        if name == "kube-apiserver":
            _wait_for_api(cluster)
    return started


def stop(cluster: Cluster) -> None:
    """End all components, hard: nothing of what they could still save is kept."""
    for name in reversed(COMPONENTS):
        process.kill(_record(cluster, name))


def is_running(cluster: Cluster) -> bool:
    """Whether all components run."""
    return all(process.read_alive(_record(cluster, name)) is not None for name in COMPONENTS)


def _record(cluster: Cluster, name: str) -> Path:
    return cluster.records / f"{name}.pid"


def _write_credentials(cluster: Cluster) -> None:
    authority = pki.Authority(cluster.pki)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    authority.server("api-server", "kube-apiserver", [*names, cluster.gateway, API_SERVICE])
    authority.client("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    authority.signing_key("service-accounts")
    users = {
        "controller-manager": ("system:kube-controller-manager", ()),
        "scheduler": ("system:kube-scheduler", ()),
        "admin": (f"{cluster.name}-admin", ("system:masters",)),
    }
    for file, (user, groups) in users.items():
        identity = authority.client(file, user, *groups)
        text = render.kubeconfig(
            cluster.server,
            user,
            str(authority.identity.certificate),
            str(identity.certificate),
            str(identity.key),
        )
        target = cluster.kubeconfig if file == "admin" else cluster.pki / f"{file}.kubeconfig"
        target.write_text(text)
        target.chmod(0o600)


def _wait_for_api(cluster: Cluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
    context.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")
    # The machine may have a proxy set; the cluster is never behind it.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    deadline = time.monotonic() + _READY_SECONDS
    answer = "it was not asked"
    while time.monotonic() < deadline:
        for name in COMPONENTS[:2]:
            if process.read_alive(_record(cluster, name)) is None:
                raise ControlPlaneFailed(f"{name} ended; see {cluster.logs / name}.log")
        try:
            with opener.open(f"{cluster.server}/readyz", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            answer = str(error)
            time.sleep(0.2)  # the distance between two looks
    raise ControlPlaneFailed(f"the API server is not ready ({answer}); see {cluster.logs}")
