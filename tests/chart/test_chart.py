"""The chart as Helm renders it: the names of the contract, least rights, and refused values."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deploy.local import toolchain
from deploy.local.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

CHART = REPOSITORY / "deploy" / "chart"
NAMESPACE = "stoppablecontainer-system"
SECRETS = ["stoppablecontainer-ca", "stoppablecontainer-agent-tls"]
SECRETS += ["stoppablecontainer-controller-tls"]
EVERYTHING = ("metrics.service=true", "metrics.podMonitor=true", "networkPolicy=true")

Manifest = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The Helm that `make deploy` uses, built when it is not there."""
    toolchain.ensure((toolchain.HELM,))
    program = toolchain.program(toolchain.HELM, "helm")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@cache
def rendered(*values: str) -> tuple[Manifest, ...]:
    """Every manifest of the chart."""
    setting = [argument for value in values for argument in ("--set", value)]
    done = helm("template", "stoppablecontainer", CHART, "--namespace", NAMESPACE, *setting)
    assert done.returncode == 0, done.stderr
    return tuple(document for document in yaml.safe_load_all(done.stdout) if document)


def one(kind: str, name: str, *values: str) -> Manifest:
    """The manifest of this kind and name."""
    found = [m for m in rendered(*values) if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def pod(kind: str, component: str) -> Manifest:
    """The pod template's spec."""
    spec: Manifest = one(kind, f"stoppablecontainer-{component}")["spec"]["template"]["spec"]
    return spec


def test_lint_finds_nothing() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


def test_crds_are_the_projects_own_files() -> None:
    """One source: Helm installs what `kubectl apply -f crds/` applies."""
    mine = {path.name: path.resolve() for path in (CHART / "crds").iterdir()}
    assert mine == {path.name: path for path in (REPOSITORY / "crds").glob("*.yaml")}


def test_version_is_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert chart["version"] == chart["appVersion"]
    assert f'\nversion = "{chart["version"]}"\n' in project


@pytest.mark.parametrize("values", [(), EVERYTHING], ids=["plain", "everything"])
def test_everything_is_in_the_release_s_namespace(values: tuple[str, ...]) -> None:
    for manifest in rendered(*values):
        if not manifest["kind"].startswith("ClusterRole"):
            assert manifest["metadata"]["namespace"] == NAMESPACE, manifest["kind"]
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "stoppablecontainer"


def test_no_right_is_a_wildcard() -> None:
    for kind in ("ClusterRole", "Role"):
        for rule in one(kind, "stoppablecontainer-controller")["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_secrets_are_read_by_name_in_the_own_namespace_only() -> None:
    cluster_wide = one("ClusterRole", "stoppablecontainer-controller")["rules"]
    assert not [rule for rule in cluster_wide if "secrets" in rule["resources"]]
    own = one("Role", "stoppablecontainer-controller")["rules"]
    for rule in (rule for rule in own if "secrets" in rule["resources"]):
        assert rule.get("resourceNames") == SECRETS or rule["verbs"] == ["create"]


def test_secrets_of_users_are_read_only_where_that_is_asked_for() -> None:
    name = "stoppablecontainer-controller"
    for values, resources in (
        ((), ["configmaps"]),
        (("controller.readSecretMetadata=true",), ["configmaps", "secrets"]),
    ):
        rules = one("ClusterRole", name, *values)["rules"]
        (rule,) = [rule for rule in rules if {"configmaps", "secrets"} & set(rule["resources"])]
        assert rule == {"apiGroups": [""], "resources": resources, "verbs": ["get"]}


def test_user_objects_can_neither_be_made_nor_deleted() -> None:
    for rule in one("ClusterRole", "stoppablecontainer-controller")["rules"]:
        if "stoppablecontainers" in rule["resources"]:
            assert sorted(rule["verbs"]) == ["get", "list", "patch", "watch"]


def test_of_a_pod_s_subresources_two_can_be_patched() -> None:
    rules = one("ClusterRole", "stoppablecontainer-controller")["rules"]
    about = {resource: rule["verbs"] for rule in rules for resource in rule["resources"]}
    mine = {name: verbs for name, verbs in about.items() if name.startswith("pods/")}
    assert mine == {"pods/status": ["patch"], "pods/resize": ["patch"]}


def test_agent_has_no_rights_and_no_token() -> None:
    bindings = [m for m in rendered() if m["kind"].endswith("Binding")]
    subjects = {subject["name"] for binding in bindings for subject in binding["subjects"]}
    assert subjects == {"stoppablecontainer-controller"}
    assert pod("DaemonSet", "agent")["automountServiceAccountToken"] is False


def test_controller_meets_the_restricted_level() -> None:
    spec = pod("Deployment", "controller")
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


def test_agent_mounts_what_it_must_as_it_must() -> None:
    spec = pod("DaemonSet", "agent")
    (container,) = spec["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/var/lib/stoppablecontainer"]["mountPropagation"] == "Bidirectional"
    for path in ("/var/lib/containerd", "/run/containerd", "/run/nri"):
        assert mounts[path]["mountPropagation"] == "HostToContainer", path
        assert mounts[path]["readOnly"] is True, path
    assert mounts["/sys/fs/cgroup"] == {
        "name": "cgroup",
        "mountPath": "/sys/fs/cgroup",
        "mountPropagation": "HostToContainer",
    }
    # A file mounted by subPath would not follow the renewed certificate.
    assert "subPath" not in mounts["/etc/stoppablecontainer/tls"]
    sources = {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
    assert {mounts[path]["name"]: path for path in mounts if "tls" not in path} == sources
    assert (spec["hostPID"], spec.get("hostNetwork")) == (True, None)


def test_agent_pod_waits_for_its_certificate() -> None:
    (tls,) = [v["secret"] for v in pod("DaemonSet", "agent")["volumes"] if "secret" in v]
    assert tls == {"secretName": "stoppablecontainer-agent-tls", "defaultMode": 0o400}


def test_agent_goes_to_every_linux_node() -> None:
    spec = pod("DaemonSet", "agent")
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["priorityClassName"] == "system-node-critical"


def test_other_sockets_are_mounted_by_their_folders() -> None:
    chosen = "/run/k3s/containerd/containerd.sock"
    agent = one("DaemonSet", "stoppablecontainer-agent", f"sockets.containerd={chosen}")
    (container,) = agent["spec"]["template"]["spec"]["containers"]
    assert "/run/k3s/containerd" in {mount["mountPath"] for mount in container["volumeMounts"]}
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["STOPPABLECONTAINER_CONTAINERD_SOCKET"] == chosen


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("foo=1", "'foo'"),
        ("agent.tolerate=1", "'tolerate'"),
        ("baseDir=/var/../etc", "/baseDir"),
        ("baseDir=relative", "/baseDir"),
        ("baseDir=/", "/baseDir"),
        ("controller.replicas=0", "/controller/replicas"),
        ("controller.readSecretMetadata=1", "/controller/readSecretMetadata"),
        ("logLevel=loud", "/logLevel"),
        ("agent.maxUnavailable=0", "/agent/maxUnavailable"),
        ("image.agent.pullPolicy=Sometimes", "/image/agent/pullPolicy"),
    ],
)
def test_wrong_value_is_refused_by_its_name(value: str, named: str) -> None:
    done = helm("template", "x", CHART, "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_a_drain_is_never_blocked() -> None:
    budget = one("PodDisruptionBudget", "stoppablecontainer-controller", "controller.replicas=1")
    assert budget["spec"]["maxUnavailable"] == 1


def test_optional_parts_are_off_by_default() -> None:
    kinds = {manifest["kind"] for manifest in rendered()}
    assert not kinds & {"Service", "PodMonitor", "NetworkPolicy"}
    with_all = {manifest["kind"] for manifest in rendered(*EVERYTHING)}
    assert {"Service", "PodMonitor", "NetworkPolicy"} <= with_all


def test_only_the_controller_reaches_the_agents_port() -> None:
    policy = one("NetworkPolicy", "stoppablecontainer-agent", "networkPolicy=true")["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    controller = one("Deployment", "stoppablecontainer-controller")["spec"]["selector"]
    assert peer == {"podSelector": controller}
    assert rule["ports"] == [{"port": "grpc"}]
