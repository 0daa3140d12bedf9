"""What of a template can be stopped while its pod stays, and what such a pod's spec becomes; pure.

`manifests` sends a consumer's spec through `supervised`; `observe` asks `unsupported` before. The
kubelet goes on probing a container whose command is stopped, and runs its hooks: all of that
becomes the gate's, which knows whether the command runs.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from controller import names
from controller.shapes import as_dict, as_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controller.model import Body, Template

GATE: Final = "/dev/.stoppablecontainer/gate"

# The gate ends this much before the kubelet would, so that its reason is what people read.
EARLIER_MS = 50
LONGEST_TIMEOUT_MS = 24 * 60 * 60 * 1000
LONGEST_BUDGET_MS = 31 * 24 * 60 * 60 * 1000
# The gate's own bounds, the kubelet has none: of a request, with room for what is added to it; of
# a service's name.
LONGEST_REQUEST = 60 * 1024
LONGEST_SERVICE = 1024
HIGHEST_PORT = 65535

# How Go, which the kubelet asks with, writes the path of a URL: what it leaves as it is, what it
# cannot parse and so takes for a name with odd letters, what it takes for another server.
UNQUOTED = "/$&+,:;=@"
UNPARSABLE = re.compile(r"[\x00-\x1f\x7f]|%(?![0-9A-Fa-f]{2})")
SERVER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?]*")

PROBES = {"livenessProbe": "live", "startupProbe": "live", "readinessProbe": "ready"}
HOOKS = {"postStart": "post-start", "preStop": "pre-stop"}
COLD = "use stopMode: Cold"


def unsupported(template: Template) -> str:
    """Why the first container cannot be stopped with its pod kept, and what to do; or nothing."""
    pod, container = template.pod, template.container
    if not template.init:
        return (
            "with spec.init: false there is no gate that could stop the command and keep the pod: "
            f"remove spec.init, or {COLD}"
        )
    if len(as_list(pod.get("containers"))) > 1:
        return (
            "the template has more than one container, and the others would run on while the pod "
            f"is kept: leave only the first, or {COLD}"
        )
    for one in as_list(pod.get("initContainers")):
        if as_dict(one).get("restartPolicy") == "Always":
            return (
                f"init container {as_dict(one).get('name')} is a sidecar (restartPolicy: Always), "
                f"and it would run on while the pod is kept: remove it, or {COLD}"
            )
    for where, action in _actions(container):
        if trouble := _trouble(action, container, is_hook=where.startswith("lifecycle")):
            return f"{where} {trouble}, or {COLD}"
    return ""


def supervised(spec: Body) -> Body:
    """A consumer's pod spec with all probes and hooks of its first container sent to the gate.

    Its template is one that `unsupported` has nothing to say about.
    """
    wanted = copy.deepcopy(spec)
    containers = as_list(wanted.get("containers"))
    if containers and isinstance(containers[0], dict):
        _send_to_gate(containers[0])
    gates = as_list(wanted.get("readinessGates"))
    ours = {"conditionType": names.RUNNING_CONDITION}
    wanted["readinessGates"] = gates if ours in gates else [*gates, ours]
    return wanted


def hook_command(container: Body, which: str) -> list[str]:
    """What the agent is to run for `postStart` or `preStop` of a pod as it was made."""
    hook = as_dict(as_dict(container.get("lifecycle")).get(which))
    command = as_dict(hook.get("exec")).get("command")
    return [str(word) for word in as_list(command)]


def _send_to_gate(container: Body) -> None:
    # Before any of them is rewritten: the liveness probe's budget comes from the startup probe.
    budget = _budget_ms(container)
    for field, which in PROBES.items():
        probe = as_dict(container.get(field))
        attempt = _attempt(probe, container, expanded=True)
        if not attempt:
            continue
        excuse = ["-b", str(budget)] if field == "livenessProbe" and budget else []
        line = [GATE, "probe", *excuse, "-t", str(_timeout_ms(probe)), which, *attempt]
        container[field] = _instead(probe, line)
    lifecycle = as_dict(container.get("lifecycle"))
    for field, which in HOOKS.items():
        hook = as_dict(lifecycle.get(field))
        attempt = _attempt(hook, container, expanded=False)
        if attempt:
            lifecycle[field] = _instead(hook, [GATE, "hook", which, *attempt])


def _instead(handler: Mapping[str, Any], command: list[str]) -> Body:
    """The same probe or hook, with its action replaced."""
    actions = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"}
    rest = {field: value for field, value in handler.items() if field not in actions}
    return rest | {"exec": {"command": command}}


def _attempt(handler: Mapping[str, Any], container: Body, *, expanded: bool) -> list[str]:
    """The gate's words for an action; none when it is left as it is.

    The kubelet expands $(NAME) in the command of an exec probe, not in that of a hook, and not in
    any other action: what comes from those must not begin to be expanded.
    """
    if command := as_list(as_dict(handler.get("exec")).get("command")):
        return ["exec", "--", *(str(word) for word in command)]
    if "sleep" in handler:
        return ["sleep", str(_number(as_dict(handler["sleep"]).get("seconds")))]
    for kind, field in (("http", "httpGet"), ("tcp", "tcpSocket"), ("grpc", "grpc")):
        action = as_dict(handler.get(field))
        port = _port(action.get("port"), container)
        if port:
            words = [kind, str(port), *_rest(kind, action)]
            return [word.replace("$", "$$") for word in words] if expanded else words
    return []


def _rest(kind: str, action: Mapping[str, Any]) -> list[str]:
    """What stands behind the port."""
    if kind == "grpc":
        return [service] if (service := _text(action.get("service"))) else []
    host = ["-h", _text(action["host"])] if action.get("host") else []
    if kind == "tcp":
        return host
    headers = [
        word
        for header in as_list(action.get("httpHeaders"))
        for word in ("-H", f"{_text(as_dict(header).get('name'))}: {_value(header)}")
    ]
    return [_target(action.get("path")), *host, *headers]


def _target(path: object) -> str:
    """The path and query of a request: ASCII, without blanks, behind a slash."""
    text = _text(path)
    if UNPARSABLE.search(text):
        quoted = quote(text, safe=UNQUOTED, errors="replace")
    else:
        text = text.partition("#")[0]
        server = SERVER.match(text)
        text = text[server.end() :] if server else text
        quoted = quote(text, safe=UNQUOTED + "%!'()*[]?", errors="replace")
    return quoted if quoted.startswith("/") else f"/{quoted}"


def _value(header: object) -> str:
    return _text(as_dict(header).get("value")).strip(" \t\r\n")


def _actions(container: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every probe and hook that there is, by the name that people know it by."""
    for field in PROBES:
        if container.get(field):
            yield field, as_dict(container[field])
    lifecycle = as_dict(container.get("lifecycle"))
    for field in HOOKS:
        if lifecycle.get(field):
            yield f"lifecycle.{field}", as_dict(lifecycle[field])


def _trouble(handler: Mapping[str, Any], container: Mapping[str, Any], *, is_hook: bool) -> str:
    """Why the gate cannot do what the kubelet would."""
    if is_hook and handler.get("tcpSocket"):
        return "is a tcpSocket, which the kubelet does not run as a hook: make it an exec"
    for field in ("httpGet", "tcpSocket", "grpc"):
        action = as_dict(handler.get(field))
        if not action:
            continue
        port, host = action.get("port"), action.get("host")
        if host and not _is_literal(host):
            return f"has the host name {host!r}: give an address, or none for the pod's own"
        if not _port(port, container):
            return f"has port {port!r}, which is neither a number nor a port of the container"
        if field == "httpGet" and (why := _trouble_of_request(action)):
            return why
        service = _text(action.get("service"))
        if "\0" in service or len(service.encode(errors="replace")) > LONGEST_SERVICE:
            return f"has a service name longer than {LONGEST_SERVICE} bytes: give a shorter one"
    return ""


def _trouble_of_request(action: Mapping[str, Any]) -> str:
    if _text(action.get("scheme")).upper() == "HTTPS":
        return "uses scheme HTTPS, which the gate does not speak: use HTTP or an exec"
    size = len(_target(action.get("path")))
    for header in as_list(action.get("httpHeaders")):
        name, value = _text(as_dict(header).get("name")), _value(header)
        if any((ord(sign) < 32 and sign != "\t") or ord(sign) == 127 for sign in name + value):
            return f"has a header {name!r} with a control character: remove it"
        size += len(f"{name}: {value}\r\n".encode(errors="replace"))
    if size > LONGEST_REQUEST:
        return f"makes a request of more than {LONGEST_REQUEST} bytes: make it shorter"
    return ""


def _port(port: object, container: Mapping[str, Any]) -> int:
    """The number, as the kubelet finds it; 0: there is none."""
    number = _number(port)
    if isinstance(port, str):
        named = (as_dict(one) for one in as_list(container.get("ports")))
        found = next((one.get("containerPort") for one in named if one.get("name") == port), None)
        # The kubelet's last resort for a name that is no port's.
        is_decimal = port.isascii() and port.isdecimal() and len(port) < 6
        number = _number(found) or (int(port) if is_decimal else 0)
    return number if number <= HIGHEST_PORT else 0


def _budget_ms(container: Mapping[str, Any]) -> int:
    """How long after a warm start, which has no startup probe, liveness may fail."""
    seconds = _number(as_dict(container.get("livenessProbe")).get("initialDelaySeconds"))
    if startup := as_dict(container.get("startupProbe")):
        tries = _number(startup.get("failureThreshold")) or 3
        seconds += _number(startup.get("initialDelaySeconds"))
        seconds += tries * (_number(startup.get("periodSeconds")) or 10)
    return min(seconds * 1000, LONGEST_BUDGET_MS)


def _timeout_ms(probe: Mapping[str, Any]) -> int:
    seconds = _number(probe.get("timeoutSeconds")) or 1
    return min(seconds * 1000 - EARLIER_MS, LONGEST_TIMEOUT_MS)


def _is_literal(host: object) -> bool:
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return "%" not in str(host)


def _number(value: object) -> int:
    """Not negative; 0, which the API takes for the default, in the place of anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
