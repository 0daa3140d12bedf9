"""A real API server takes and refuses the same objects, and says why in our words."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from deploy.local import toolchain
from deploy.local.paths import cluster_from_environment
from tests.crds.objects import BAD_RULE, BAD_SHAPE, GOOD, Object

pytestmark = pytest.mark.e2e
CRD = "crd/stoppablecontainers.stoppablecontainer.xtlsoft.top"
BAD = {**BAD_SHAPE, **BAD_RULE}
KUBECONFIG = os.environ.get("KUBECONFIG") or str(cluster_from_environment().kubeconfig)


def kubectl(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """One kubectl against KUBECONFIG's cluster, else the local one."""
    program = toolchain.program(toolchain.KUBERNETES, "kubectl")
    return subprocess.run(
        [program, f"--kubeconfig={KUBECONFIG}", "--request-timeout=20s", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def cluster() -> None:
    """A cluster that has our kinds."""
    if not Path(KUBECONFIG).exists():
        pytest.fail("there is no cluster: make cluster-up")
    known = kubectl("wait", "--for=condition=Established", CRD, "--timeout=20s")
    if known.returncode:
        pytest.fail(f"the cluster does not know our kinds: {known.stderr}")


def applied(thing: Object) -> subprocess.CompletedProcess[str]:
    """What the API server says to an object, which it does not keep."""
    # In a namespace of the cluster's own, where nobody's object of that name can be in the way.
    target = ("--dry-run=server", "--namespace=kube-public", "-f", "-")
    return kubectl("create", *target, stdin=json.dumps(thing))


@pytest.mark.parametrize("name", GOOD)
def test_good_object_is_taken(name: str) -> None:
    said = applied(GOOD[name])
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("name", BAD)
def test_bad_object_is_refused_with_the_reason(name: str) -> None:
    thing, reason = BAD[name]
    said = applied(thing)
    assert said.returncode != 0
    assert reason in said.stderr
