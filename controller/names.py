"""The names that the controller shares with the agent, the chart, the CLI and the user.

Constants only; `manifests` writes most of them into pods, `observe` reads them back.
"""

from typing import Final

GROUP: Final = "stoppablecontainer.xtlsoft.top"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FINALIZER: Final = f"{GROUP}/finalizer"
# What an earlier implementation of this API put on its instances; nobody else would remove it.
LEGACY_INSTANCE_FINALIZER: Final = "stoppablecontainerinstance.xtlsoft.top/finalizer"
MANAGED_BY_LABEL: Final = f"{GROUP}/managed-by"
MANAGED_BY: Final = "stoppablecontainer"
INSTANCE_LABEL: Final = f"{GROUP}/instance"
ROLE_LABEL: Final = f"{GROUP}/role"
ROOT_ANNOTATION: Final = f"{GROUP}/root"
TEMPLATE_HASH_ANNOTATION: Final = f"{GROUP}/template-hash"
AGENT_LABEL: Final = f"{GROUP}/agent"
AGENT_READY: Final = "ready"
NODE_CONDITION: Final = "StoppableContainerReady"

# The readiness gate of a pod whose command may be stopped while the pod stays.
RUNNING_CONDITION: Final = f"{GROUP}/running"

PLACEMENT_PREFIX: Final = f"placement.{GROUP}"
# In the agent's refusal of a container whose runtime does not build its root from root.path.
RUNTIME_CLASS_UNSUPPORTED: Final = "RuntimeClassUnsupported"

GUARD: Final = "/.stoppablecontainer/required"
PROVIDER_SUFFIX: Final = "-provider"
PROVIDER_CONTAINER: Final = "provider"
CONSUMER_CONTAINER: Final = "main"

FIELD_MANAGER: Final = "stoppablecontainer-controller"
LEASE: Final = "stoppablecontainer-controller"
AGENT_POD_LABEL: Final = "app.kubernetes.io/component"
AGENT_POD: Final = "agent"
AGENT_PORT: Final = 9443
AGENT_SERVER_NAME: Final = "nodeagent.stoppablecontainer"
CONTROLLER_CLIENT_NAME: Final = "stoppablecontainer-controller"
CA_SECRET: Final = "stoppablecontainer-ca"  # noqa: S105 - a name
AGENT_TLS_SECRET: Final = "stoppablecontainer-agent-tls"  # noqa: S105 - a name
CONTROLLER_TLS_SECRET: Final = "stoppablecontainer-controller-tls"  # noqa: S105 - a name
