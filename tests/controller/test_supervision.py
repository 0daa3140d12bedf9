"""Templates whose container can be stopped with its pod kept, and what their pods become."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model import Template
from controller.supervision import GATE, hook_command, supervised, unsupported

if TYPE_CHECKING:
    from controller.model import Body

GATES = [{"conditionType": "stoppablecontainer.xtlsoft.top/running"}]
EXEC = {"exec": {"command": ["test", "-f", "/ready"]}}
TCP = {"tcpSocket": {"port": 80}}
PORTS = [{"name": "web", "containerPort": 8080}, {"name": "x", "containerPort": 9, "hostPort": 1}]


def template(*, init: bool = True, pod: Body | None = None, **container: Any) -> Template:
    spec = {"containers": [{"name": "main", "image": "i", **container}], **(pod or {})}
    return Template(pod=spec, labels={}, annotations={}, init=init)


def container_of(**container: Any) -> Body:
    """The first container of a supervised pod."""
    made = supervised({"containers": [{"name": "main", "image": "i", **container}]})
    first: Body = made["containers"][0]
    return first


def command(probe: Body, field: str = "readinessProbe") -> list[str]:
    """What a probe becomes, without the gate's own name and the kind of the probe."""
    line: list[str] = container_of(ports=PORTS, **{field: probe})[field]["exec"]["command"]
    assert line[:2] == [GATE, "probe"]
    return line[2:]


READY = ["-t", "950", "ready"]


@pytest.mark.parametrize(
    ("probe", "attempt"),
    [
        (EXEC, ["exec", "--", "test", "-f", "/ready"]),
        ({"exec": {"command": ["echo", "$(HOME)", "$$"]}}, ["exec", "--", "echo", "$(HOME)", "$$"]),
        ({"tcpSocket": {"port": 80}}, ["tcp", "80"]),
        ({"tcpSocket": {"port": "web", "host": "::1"}}, ["tcp", "8080", "-h", "::1"]),
        ({"grpc": {"port": 50051}}, ["grpc", "50051"]),
        ({"grpc": {"port": 50051, "service": ""}}, ["grpc", "50051"]),
        ({"grpc": {"port": 50051, "service": "a.B"}}, ["grpc", "50051", "a.B"]),
        ({"grpc": {"port": 1, "service": "$(HOME)"}}, ["grpc", "1", "$$(HOME)"]),
        ({"httpGet": {"port": 80}}, ["http", "80", "/"]),
        ({"httpGet": {"port": "80", "scheme": "HTTP"}}, ["http", "80", "/"]),
        ({"httpGet": {"port": "x", "path": "health?a=b"}}, ["http", "9", "/health?a=b"]),
        (
            {
                "httpGet": {
                    "port": "web",
                    "path": "/$(HOME)",
                    "host": "127.0.0.1",
                    "httpHeaders": [{"name": "A", "value": " $(B): c "}, {"name": "Host"}],
                }
            },
            [
                *("http", "8080", "/$$(HOME)", "-h", "127.0.0.1"),
                "-H",
                "A: $$(B): c",
                "-H",
                "Host: ",
            ],
        ),
    ],
)
def test_every_kind_of_probe_becomes_an_exec_of_the_gate(probe: Body, attempt: list[str]) -> None:
    assert command(probe) == [*READY, *attempt]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("/a b", "/a%20b"),
        ("/a%20b/%C3%A4", "/a%20b/%C3%A4"),
        ("/\u00e4", "/%C3%A4"),
        ("/a?b=c d&e=%20#f", "/a?b=c%20d&e=%20"),
        ("/100%", "/100%25"),
        ("/100%?a", "/100%25%3Fa"),
        ("/a\r\nB: c", "/a%0D%0AB:%20c"),
        ("http://other:81/a?b", "/a?b"),
        ("//other/a", "/a"),
        ("/a//b", "/a//b"),
        ("?a", "/?a"),
        ("/(a)*!'[]~", "/(a)*!'[]~"),
    ],
)
def test_path_is_written_as_the_kubelet_does(path: str, target: str) -> None:
    assert command({"httpGet": {"port": 80, "path": path}}) == [*READY, "http", "80", target]


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [({}, "950"), ({"timeoutSeconds": 0}, "950"), ({"timeoutSeconds": 30}, "29950")],
)
def test_gate_ends_a_little_before_the_kubelet(seconds: Body, ms: str) -> None:
    assert command(EXEC | seconds)[:2] == ["-t", ms]
    assert command(EXEC | {"timeoutSeconds": 2**31 - 1})[:2] == ["-t", "86400000"]


def test_all_else_of_a_probe_stays() -> None:
    rest = {
        "periodSeconds": 3,
        "initialDelaySeconds": 4,
        "successThreshold": 2,
        "failureThreshold": 5,
        "timeoutSeconds": 6,
        "terminationGracePeriodSeconds": 7,
    }
    for field in ("livenessProbe", "startupProbe", "readinessProbe"):
        made = container_of(**{field: EXEC | rest})[field]
        assert {name: made[name] for name in made if name != "exec"} == rest
        made = container_of(**{field: TCP | rest})[field]
        assert set(made) == {*rest, "exec"}


@pytest.mark.parametrize(
    ("liveness", "startup", "budget"),
    [
        ({}, None, []),
        ({"initialDelaySeconds": 15}, None, ["-b", "15000"]),
        ({}, {}, ["-b", "30000"]),
        ({}, {"periodSeconds": 0, "failureThreshold": 0}, ["-b", "30000"]),
        ({}, {"periodSeconds": 5, "failureThreshold": 4}, ["-b", "20000"]),
        (
            {"initialDelaySeconds": 1},
            {"initialDelaySeconds": 2, "periodSeconds": 5, "failureThreshold": 4},
            ["-b", "23000"],
        ),
        ({}, {"periodSeconds": 2**31 - 1, "failureThreshold": 2**31 - 1}, ["-b", "2678400000"]),
    ],
)
def test_liveness_bears_with_a_warm_start_as_long_as_with_a_first_one(
    liveness: Body, startup: Body | None, budget: list[str]
) -> None:
    probes = {"livenessProbe": TCP | liveness, "readinessProbe": TCP}
    if startup is not None:
        probes["startupProbe"] = TCP | startup
    made = container_of(**probes)
    line = made["livenessProbe"]["exec"]["command"]
    assert line == [GATE, "probe", *budget, "-t", "950", "live", "tcp", "80"]
    for other in probes.keys() - {"livenessProbe"}:
        assert "-b" not in made[other]["exec"]["command"]
    if startup is not None:
        assert made["startupProbe"]["exec"]["command"][4:] == ["live", "tcp", "80"]


def test_hooks_become_the_gates_and_nothing_in_them_is_expanded_twice() -> None:
    made = container_of(
        ports=PORTS,
        lifecycle={
            "stopSignal": "SIGINT",
            "postStart": {"httpGet": {"port": "web", "path": "/$(A)", "host": "fd00::1"}},
            "preStop": {"exec": {"command": ["echo", "$(A)"]}},
        },
    )
    post_start = [GATE, "hook", "post-start", "http", "8080", "/$(A)", "-h", "fd00::1"]
    pre_stop = [GATE, "hook", "pre-stop", "exec", "--", "echo", "$(A)"]
    assert made["lifecycle"] == {
        "stopSignal": "SIGINT",
        "postStart": {"exec": {"command": post_start}},
        "preStop": {"exec": {"command": pre_stop}},
    }
    assert hook_command(made, "postStart") == post_start
    assert hook_command(made, "preStop") == pre_stop
    made = container_of(lifecycle={"preStop": {"sleep": {"seconds": 5}}})
    assert hook_command(made, "preStop") == [GATE, "hook", "pre-stop", "sleep", "5"]
    assert hook_command(made, "postStart") == []


def test_pod_is_ready_only_while_the_command_runs() -> None:
    mine = {"conditionType": "mine"}
    assert supervised({"containers": [{}]})["readinessGates"] == GATES
    made = supervised({"containers": [{}], "readinessGates": [mine]})
    assert made["readinessGates"] == [mine, *GATES]
    assert supervised(made) == made


def test_spec_is_copied_and_nothing_else_of_it_changes() -> None:
    sidecar = {"name": "init", "livenessProbe": TCP}
    spec = {
        "containers": [{"command": ["guard"], "livenessProbe": TCP, "env": [{"name": "A"}]}],
        "initContainers": [sidecar],
        "volumes": [{"name": "v"}],
    }
    before = copy.deepcopy(spec)
    made = supervised(spec)
    assert spec == before
    made["containers"][0]["livenessProbe"] = TCP
    assert made == before | {"readinessGates": GATES}
    assert container_of(env=[]) == {"name": "main", "image": "i", "env": []}


def http(**action: Any) -> Body:
    return {"httpGet": {"port": 80, **action}}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (template(init=False), "spec.init: false"),
        (template(pod={"containers": [{"name": "main"}, {"name": "two"}]}), "more than one"),
        (
            template(pod={"initContainers": [{"name": "s", "restartPolicy": "Always"}]}),
            "init container s is a sidecar",
        ),
        (template(livenessProbe=http(scheme="HTTPS")), "livenessProbe uses scheme HTTPS"),
        (template(startupProbe=http(host="localhost")), "startupProbe has the host name"),
        (template(readinessProbe={"tcpSocket": {"port": 1, "host": "db"}}), "host name 'db'"),
        (template(readinessProbe=http(host="fe80::1%eth0")), "host name"),
        (template(readinessProbe=http(port="web")), "readinessProbe has port 'web'"),
        (template(readinessProbe=http(port="9" * 5000)), "neither a number"),
        (template(readinessProbe=http(port=0)), "port 0"),
        (template(readinessProbe=http(port=65536)), "port 65536"),
        (template(readinessProbe={"grpc": {"service": "x"}}), "port None"),
        (template(livenessProbe=http(path="/" + "x" * 61_440)), "more than 61440 bytes"),
        (template(livenessProbe={"grpc": {"port": 1, "service": "x" * 1025}}), "1024 bytes"),
        (template(livenessProbe={"grpc": {"port": 1, "service": "a\0"}}), "1024 bytes"),
        (template(livenessProbe=http(httpHeaders=[{"name": "A", "value": "b\nc"}])), "header 'A'"),
        (template(lifecycle={"preStop": http(scheme="HTTPS")}), "lifecycle.preStop uses scheme"),
        (template(lifecycle={"postStart": http(host="a.b")}), "lifecycle.postStart has the host"),
        (template(lifecycle={"postStart": http(port="web")}), "lifecycle.postStart has port"),
        (template(lifecycle={"preStop": TCP}), "lifecycle.preStop is a tcpSocket"),
    ],
)
def test_what_the_gate_cannot_do_is_said_with_a_way_out(made: Template, words: str) -> None:
    why = unsupported(made)
    assert words in why
    assert why.endswith("or use stopMode: Cold")


@pytest.mark.parametrize(
    "made",
    [
        template(),
        template(pod={"initContainers": [{"name": "a", "livenessProbe": http(scheme="HTTPS")}]}),
        template(pod={"shareProcessNamespace": True, "restartPolicy": "Never"}),
        template(lifecycle={"stopSignal": "SIGINT", "preStop": {"sleep": {"seconds": 1}}}),
        template(livenessProbe=http(host="127.0.0.1"), readinessProbe=http(host="::1")),
        template(livenessProbe=http(port="web"), ports=PORTS),
        template(livenessProbe=http(httpHeaders=[{"name": "A", "value": "\u00e4\tb\r\n"}])),
        template(livenessProbe={"grpc": {"port": 1, "service": "x" * 1024}}, lifecycle=None),
    ],
)
def test_what_the_gate_can_do_is_supported(made: Template) -> None:
    assert unsupported(made) == ""


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()
FIELDS = [
    *("exec", "command", "httpGet", "port", "host", "path", "httpHeaders", "name", "value"),
    *("tcpSocket", "grpc", "service", "sleep", "seconds", "scheme", "timeoutSeconds"),
    *("periodSeconds", "containerPort", "preStop", "postStart"),
]
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)
ODD = st.dictionaries(
    st.sampled_from(
        ["livenessProbe", "startupProbe", "readinessProbe", "lifecycle", "ports", "name"]
    ),
    JSON,
)


@settings(max_examples=300, deadline=None)
@given(ODD, st.dictionaries(st.sampled_from(["initContainers", "readinessGates"]), JSON))
def test_odd_shapes_crash_nothing(container: Body, pod: Body) -> None:
    made = Template(pod=pod | {"containers": [container]}, labels={}, annotations={}, init=True)
    assert isinstance(unsupported(made), str)
    spec = supervised(dict(made.pod))
    assert json.loads(json.dumps(spec))["containers"]
    for which in ("postStart", "preStop"):
        assert all(isinstance(word, str) for word in hook_command(spec["containers"][0], which))
