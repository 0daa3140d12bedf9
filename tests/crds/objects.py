"""StoppableContainers that must be taken or refused; each refusal with the words a user needs."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

NGINX: Object = {"image": "nginx:latest", "command": ["nginx", "-g", "daemon off;"]}


def of(template: Object, *, name: str = "my-app", **spec: Any) -> Object:
    """A StoppableContainer with this template."""
    return {
        "apiVersion": "stoppablecontainer.xtlsoft.top/v1alpha1",
        "kind": "StoppableContainer",
        "metadata": {"name": name},
        "spec": {"running": True, "template": template, **spec},
    }


def of_container(**fields: Any) -> Object:
    """One in the container form."""
    return of({"container": {"image": "nginx", **fields}})


def of_pod(*, first: Object | None = None, **fields: Any) -> Object:
    """One in the pod spec form."""
    first = {"name": "main", "image": "nginx", **(first or {})}
    return of({"spec": {"containers": [first], **fields}})


def instance(template: Object) -> Object:
    """A StoppableContainerInstance, as the controller makes it."""
    made = of(template, node="worker-1")
    return made | {"kind": "StoppableContainerInstance"}


def at(path: str) -> list[Object]:
    """A volume mount there."""
    return [{"name": "data", "mountPath": path}]


WITHOUT_RUNNING = of({"container": NGINX})
del WITHOUT_RUNNING["spec"]["running"]

GOOD: dict[str, Object] = {
    "quick-example": of({"container": NGINX}),
    "instance": instance({"container": NGINX}),
    "container-form-in-full": of(
        {
            "container": {
                **NGINX,
                "name": "web",
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "ports": [{"containerPort": 80}],
                "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": 1}},
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                "livenessProbe": {"tcpSocket": {"port": 80}},
                "volumeMounts": at("/data"),
            },
            "metadata": {"labels": {"app": "web"}, "annotations": {"note": "x"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
        init=False,
        hostPathPrefix="/var/lib/stoppable-container",
        provider={
            "resources": {"requests": {"cpu": "10m"}},
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
        },
    ),
    "pod-spec": of(
        {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "serviceAccountName": "web",
                "hostUsers": True,
                "os": {"name": "linux"},
                "securityContext": {"runAsUser": 1000, "runAsNonRoot": True},
                "containers": [
                    {"name": "main", **NGINX, "volumeMounts": at("/...")},
                    {"name": "sidecar", "image": "busybox", "volumeMounts": at("/shared")},
                ],
                "initContainers": [{"name": "first", "image": "busybox"}],
                "volumes": [
                    {
                        "name": "data",
                        "ephemeral": {
                            "volumeClaimTemplate": {
                                "metadata": {"labels": {"a": "b"}},
                                "spec": {"resources": {"requests": {"storage": "1Gi"}}},
                            }
                        },
                    }
                ],
            },
        }
    ),
    "long-name": of({"container": NGINX}, name="a" * 63),
    "policies": of({"container": NGINX}, updatePolicy="Restart", imageChangePolicy="Reset"),
    "short-form-of-before": of(
        {
            "metadata": {"labels": {"app": "web"}, "name": "web", "creationTimestamp": None},
            "container": {**NGINX, "workingDir": "/srv"},
            "initContainers": [{"name": "first", "image": "busybox"}],
            "affinity": {"nodeAffinity": {}},
            "serviceAccountName": "web",
            "imagePullSecrets": [{"name": "registry"}],
            "runtimeClassName": "crun",
            "hostNetwork": True,
            "dnsPolicy": "ClusterFirstWithHostNet",
        }
    ),
    "stopped-when-nothing-is-said": WITHOUT_RUNNING,
}

# Refused by the schema: kubectl and the API server name the field.
BAD_SHAPE: dict[str, tuple[Object, str]] = {
    "no-image": (
        of({"container": {"command": ["sh"]}}),
        "spec.template.container.image: Required value",
    ),
    "empty-image": (of_container(image=""), "spec.template.container.image"),
    "image-of-the-first-container": (
        of({"spec": {"containers": [{"name": "main"}]}}),
        "spec.template.spec.containers[0].image: Required value",
    ),
    "nameless-container-in-a-pod": (
        of({"spec": {"containers": [NGINX]}}),
        "spec.template.spec.containers[0].name: Required value",
    ),
    "typo": (of_container(comand=["sh"]), 'unknown field "spec.template.container.comand"'),
    "typo-in-a-pod": (of_pod(tolerationz=[]), 'unknown field "spec.template.spec.tolerationz"'),
    "typo-in-a-volume": (
        of({"container": NGINX, "volumes": [{"name": "a", "emptydir": {}}]}),
        'unknown field "spec.template.volumes[0].emptydir"',
    ),
    "ephemeral-containers": (
        of_pod(ephemeralContainers=[]),
        'unknown field "spec.template.spec.ephemeralContainers"',
    ),
    "not-a-quantity": (
        of_container(resources={"limits": {"memory": "1Gb"}}),
        "spec.template.container.resources.limits.memory",
    ),
    "no-such-policy": (of({"container": NGINX}, updatePolicy="Never"), "spec.updatePolicy"),
    "text-for-a-number": (
        of_container(ports=[{"containerPort": "http"}]),
        "spec.template.container.ports[0].containerPort",
    ),
}

ROOT_VOLUME = "a volume at / would hide the root filesystem"

# Refused by a CEL rule: the words are ours.
BAD_RULE: dict[str, tuple[Object, str]] = {
    "neither-form": (
        of({}),
        "exactly one of container (one container) and spec (a whole pod spec): neither",
    ),
    "both-forms": (
        of({"container": NGINX, "spec": {"containers": [{"name": "a", **NGINX}]}}),
        "both are given",
    ),
    "node-selector-beside-spec": (
        of({"spec": {"containers": [{"name": "a", **NGINX}]}, "nodeSelector": {"a": "b"}}),
        "beside container only: move them into spec",
    ),
    "volumes-beside-spec": (
        of({"spec": {"containers": [{"name": "a", **NGINX}]}, "volumes": []}),
        "beside container only: move them into spec",
    ),
    "name-of-64": (of({"container": NGINX}, name="a" * 64), "metadata.name: at most 63 characters"),
    "no-container": (of({"spec": {"containers": []}}), "at least one container is needed"),
    "own-user-namespace": (of_pod(hostUsers=False), "an overlay cannot be idmapped"),
    "windows": (of_pod(os={"name": "windows"}), "windows is not supported"),
    "volume-at-the-root": (of_container(volumeMounts=at("/")), ROOT_VOLUME),
    "volume-at-the-root-in-disguise": (of_container(volumeMounts=at("//./..")), ROOT_VOLUME),
    "volume-at-the-root-in-a-pod": (of_pod(first={"volumeMounts": at("/")}), ROOT_VOLUME),
    "instance-without-a-form": (instance({}), "exactly one of container"),
}
