"""Puts the product onto a cluster: images into the local nodes, then the CRDs, then the chart."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from deploy.local import cluster as local
from deploy.local import images, toolchain
from deploy.local.paths import IMAGES_DIR, REPOSITORY, Cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = "stoppablecontainer-system"
RELEASE = "stoppablecontainer"


def deploy(cluster: Cluster) -> None:
    """Install or upgrade; another cluster that KUBECONFIG names gets no images from us."""
    toolchain.ensure((toolchain.KUBERNETES, toolchain.HELM))
    chosen = os.environ.get("KUBECONFIG") or str(cluster.kubeconfig)
    environment = os.environ | {"KUBECONFIG": chosen}
    values = _load_images(cluster) if chosen == str(cluster.kubeconfig) else []
    kubectl = str(toolchain.program(toolchain.KUBERNETES, "kubectl"))
    helm = str(toolchain.program(toolchain.HELM, "helm"))
    # Helm never upgrades a chart's CRDs, and owns their fields where it installed them.
    crds = ["apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds")]
    _run([kubectl, *crds], environment)
    chart = str(REPOSITORY / "deploy" / "chart")
    target = ["--install", RELEASE, chart, "--namespace", NAMESPACE, "--create-namespace"]
    values += shlex.split(os.environ.get("HELM_ARGS", ""))
    _run([helm, "upgrade", *target, "--skip-crds", *values, "--wait"], environment)


def _load_images(cluster: Cluster) -> list[str]:
    """Load the images under a tag of their content: a changed one is a changed pod template."""
    values = []
    for component in images.PROJECT_IMAGES:
        archive = IMAGES_DIR / f"{component}.tar"
        if not archive.exists():
            raise FileNotFoundError(f"{archive} is missing: make images")
        name, digest = next(iter(images.read_names(archive).items()))
        tag = f"dev-{digest.removeprefix('sha256:')[:12]}"
        tagged = f"{name.rpartition(':')[0]}:{tag}"
        local.load_image(cluster, archive)
        local.tag_image(cluster, name, tagged)
        print(f"loaded {tagged}", flush=True)
        values += ["--set-string", f"image.{component}.tag={tag}"]
    return values


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    subprocess.run(command, check=True, env=environment, cwd=REPOSITORY)
