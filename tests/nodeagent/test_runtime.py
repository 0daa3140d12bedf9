"""What the runtime says, parsed: images without a schema, mounts of every snapshotter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nodeagent.answers import parse_image, parse_lower, parse_stop_signal
from nodeagent.errors import Impossible, NotThereYet
from nodeagent.model import Image, RuntimeVersion
from nodeagent.node import Node, is_supported
from nodeagent.runtime import Containerd
from nodeagent.store import Store
from proto.vendor.mount_pb2 import Mount
from tests.fakes.runtime import FakeRuntime

if TYPE_CHECKING:
    from nodeagent.model import NodeStatus


def info(chain: Any = "sha256:c", **config: Any) -> str:
    return json.dumps({"chainID": chain, "imageSpec": {"config": config}})


def test_an_image_s_chain_and_command() -> None:
    text = info(Entrypoint=["/e"], Cmd=["a", "b"], WorkingDir="/w")
    assert parse_image("i", text) == Image("i", "sha256:c", ("/e",), ("a", "b"), "/w")
    assert parse_image("i", info(Entrypoint=None)) == Image("i", "sha256:c")
    assert parse_image("i", '{"chainID": "x"}') == Image("i", "x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        info(chain=""),
        info(chain=5),
        info(Cmd="sh"),
        info(Cmd=[1]),
        info(WorkingDir=1),
    ],
)
def test_what_names_no_chain_is_an_unsupported_runtime(text: str) -> None:
    with pytest.raises(Impossible) as caught:
        parse_image("i", text)
    assert caught.value.reason == "RuntimeUnsupported"


def test_one_layer_is_a_bind_and_more_are_an_overlay() -> None:
    bind = Mount(type="bind", source="/s/1/fs", options=["ro", "rbind"])
    assert parse_lower([bind]) == (Path("/s/1/fs"),)
    overlay = Mount(
        type="overlay", source="overlay", options=["index=off", "lowerdir=/s/2/fs:/s/1/fs"]
    )
    assert parse_lower([overlay]) == (Path("/s/2/fs"), Path("/s/1/fs"))


@pytest.mark.parametrize(
    "mounts",
    [
        [],
        [Mount(type="erofs", source="/x")],
        [Mount(type="bind", source="/a"), Mount(type="bind", source="/b")],
        [Mount(type="bind", source="relative")],
        [Mount(type="bind", source="/a/../../etc")],
        [Mount(type="overlay")],
        [Mount(type="overlay", options=["lowerdir=" + ":".join(["/l"] * 501)])],
    ],
    ids=str,
)
def test_other_shapes_are_unsupported(mounts: list[Mount]) -> None:
    with pytest.raises(Impossible):
        parse_lower(mounts)


@pytest.mark.parametrize(
    ("named", "number"),
    [
        *(("SIGTERM", 15), ("quit", 3), ("SIGWINCH", 28), ("9", 9), ("64", 64)),
        *(("SIGRTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGRTMAX", 64)),
        *(("", 15), ("SIGRTMIN+99", 15), ("0", 15), ("65", 15), ("-1", 15), ("x" * 999, 15)),
        *(("SIG_IGN", 15), ("\u0663", 15), (None, 15), ([], 15)),
    ],
)
def test_the_stop_signal_is_read_as_containerd_reads_it(named: object, number: int) -> None:
    text = json.dumps({"Version": "v1", "Metadata": {"ID": "c", "StopSignal": named}})
    assert parse_stop_signal(text.encode()) == number


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"Metadata": 1}', b"[" * 100_000])
def test_what_names_no_signal_is_sigterm(raw: bytes) -> None:
    assert parse_stop_signal(raw) == 15


def test_no_runtime_is_not_there_yet(tmp_path: Path) -> None:
    runtime = Containerd(tmp_path / "absent.sock")
    with pytest.raises(NotThereYet):
        runtime.version()
    runtime.close()


@pytest.mark.parametrize(
    ("name", "version", "supported"),
    [
        ("containerd", "v2.3.7", True),
        ("containerd", "2.0.14+unknown", True),
        ("containerd", "1.7.35", True),
        ("containerd", "1.6.0", False),
        ("containerd", "", False),
        ("cri-o", "1.36.0", False),
    ],
)
def test_supported_runtimes(name: str, version: str, *, supported: bool) -> None:
    assert is_supported(RuntimeVersion(name, version)) is supported


def test_the_node_names_what_is_missing_first(tmp_path: Path) -> None:
    store, runtime = Store("n1"), FakeRuntime(tmp_path)
    seen: list[NodeStatus] = []
    store.listen(lambda _uid: seen.append(store.node))
    node = Node("n1", store, runtime)
    assert store.node.reason == "Recovering"
    runtime.away = True
    node.ask_runtime()
    runtime.away, runtime.who = False, RuntimeVersion("cri-o", "1.36.0")
    node.ask_runtime()
    runtime.who = RuntimeVersion("containerd", "2.3.7")
    node.ask_runtime()
    node.set_recovered()
    node.set_nri(connected=False, why="No such file or directory")
    node.set_nri(connected=True, why="")
    assert [status.reason for status in seen] == [
        "RuntimeUnavailable",
        "RuntimeUnsupported",
        "Recovering",
        "NRIUnavailable",
        "NRIUnavailable",
        "Ready",
    ]
    assert "disable = false" in seen[-2].message
    assert seen[-1].ready
    assert seen[-1].runtime == "containerd 2.3.7"
