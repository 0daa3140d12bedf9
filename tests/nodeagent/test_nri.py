"""The NRI client against containerd's side of the socket: framing, events, reconnecting."""

from __future__ import annotations

import queue
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from nodeagent.errors import Refused
from nodeagent.nri import Client
from proto.vendor import nri_pb2
from tests.nodeagent.containerd_nri import PLUGIN, Connection, FakeContainerd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nodeagent.model import ContainerEvent

POD = nri_pb2.PodSandbox(id="s1", name="app", uid="pod-1", namespace="ns")
CONTAINER = nri_pb2.Container(id="c1", pod_sandbox_id="s1", name="main", pid=42)


class Notes:
    """A plugin that writes down what it is asked; refuses and fails when told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ContainerEvent]] = []
        self.synced: list[ContainerEvent] = []
        self.error: Exception | None = None
        self.answers = 0

    def _note(self, moment: str, event: ContainerEvent) -> None:
        self.seen.append((moment, event))
        if self.error:
            raise self.error

    def synchronize(self, containers: Sequence[ContainerEvent]) -> None:
        self.synced = list(containers)

    def create_container(self, event: ContainerEvent) -> None:
        self._note("create", event)

    def post_create_container(self, event: ContainerEvent) -> None:
        self._note("post", event)

    def start_container(self, event: ContainerEvent) -> None:
        self._note("start", event)

    def post_start_container(self, event: ContainerEvent) -> None:
        self._note("begun", event)

    def answered(self) -> None:
        self.answers += 1


class Rig:
    """A client in its thread, and its containerd."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plugin = Notes()
        self.states: queue.Queue[tuple[bool, str]] = queue.Queue()
        self.times: list[tuple[str, float]] = []
        self.server = FakeContainerd(path)
        self.client = Client(
            path,
            self.plugin,
            lambda connected, why: self.states.put((connected, why)),
            lambda name, seconds: self.times.append((name, seconds)),
        )
        self.thread = self.client.start()

    def up(self) -> Connection:
        connection = self.server.accept()
        connection.bring_up()
        assert self.states.get(timeout=5) == (True, "")
        return connection

    def restart(self) -> None:
        self.server.close()
        self.server = FakeContainerd(self.path)

    def close(self) -> None:
        self.client.stop()
        self.server.close()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "nri.sock")
    yield made
    made.close()


def test_registration_asks_for_the_four_moments(rig: Rig) -> None:
    connection = rig.server.accept()
    assert connection.bring_up() == 0b1111000
    assert rig.states.get(timeout=5) == (True, "")


def test_the_moments_as_requests_of_their_own(rig: Rig) -> None:
    connection = rig.up()
    for method, message in (
        ("CreateContainer", nri_pb2.CreateContainerRequest(pod=POD, container=CONTAINER)),
        ("PostCreateContainer", nri_pb2.PostCreateContainerRequest(pod=POD, container=CONTAINER)),
        ("StartContainer", nri_pb2.StartContainerRequest(pod=POD, container=CONTAINER)),
        ("PostStartContainer", nri_pb2.PostStartContainerRequest(pod=POD, container=CONTAINER)),
    ):
        assert not connection.request(method, message).status.code
    assert [moment for moment, _ in rig.plugin.seen] == ["create", "post", "start", "begun"]
    event = rig.plugin.seen[0][1]
    assert (event.pod_uid, event.pod_namespace, event.pod_name) == ("pod-1", "ns", "app")
    assert (event.container_id, event.container_name, event.pid) == ("c1", "main", 42)


def test_the_last_three_as_state_changes_of_older_runtimes(rig: Rig) -> None:
    connection = rig.up()
    for number in (
        nri_pb2.POST_CREATE_CONTAINER,
        nri_pb2.START_CONTAINER,
        nri_pb2.POST_START_CONTAINER,
        nri_pb2.STOP_CONTAINER,
    ):
        change = nri_pb2.StateChangeEvent(event=number, pod=POD, container=CONTAINER)
        assert not connection.request("StateChange", change).status.code
    assert [moment for moment, _ in rig.plugin.seen] == ["post", "start", "begun"]


def test_what_can_wait_is_done_after_the_answer(rig: Rig) -> None:
    connection = rig.up()
    answered = threading.Event()
    rig.plugin.answered = lambda: (answered.wait(5), None)[1]  # type: ignore[method-assign]
    assert not connection.request("Shutdown", nri_pb2.Empty()).status.code
    answered.set()


@pytest.mark.parametrize("form", ["StartContainer", "StateChange"])
def test_a_refusal_goes_back_as_text_and_the_connection_lives(rig: Rig, form: str) -> None:
    connection = rig.up()
    rig.plugin.error = Refused("root u1 is in use")
    message = (
        nri_pb2.StartContainerRequest(pod=POD, container=CONTAINER)
        if form == "StartContainer"
        else nri_pb2.StateChangeEvent(event="START_CONTAINER", pod=POD, container=CONTAINER)
    )
    answer = connection.request(form, message)
    assert answer.status.code != 0
    assert answer.status.message == "stoppablecontainer: root u1 is in use"
    rig.plugin.error = None
    assert not connection.request(form, message).status.code


def test_a_bug_in_the_plugin_is_an_error_and_not_a_lost_connection(rig: Rig) -> None:
    connection = rig.up()
    rig.plugin.error = ZeroDivisionError("x" * 5000)
    answer = connection.request("StartContainer", nri_pb2.StartContainerRequest(pod=POD))
    assert "ZeroDivisionError" in answer.status.message
    assert len(answer.status.message) < 1100
    assert connection.request("NoSuchMethod", nri_pb2.Empty()).status.code == 12
    assert not connection.request("Shutdown", nri_pb2.Empty()).status.code


def test_a_message_in_many_frames_is_put_together(rig: Rig) -> None:
    connection = rig.up()
    big = nri_pb2.Container(id="c1", name="main", pid=1, env=["x" * 1000] * 1000)
    request = nri_pb2.CreateContainerRequest(pod=POD, container=big)
    assert not connection.request("CreateContainer", request, pieces=97).status.code
    assert not connection.request("CreateContainer", request, pieces=1).status.code
    assert len(rig.plugin.seen) == 2


def test_two_messages_in_one_frame_are_taken_apart(rig: Rig) -> None:
    connection = rig.up()
    empty = connection.message(PLUGIN, 9, 1, nri_pb2.Empty())
    connection.frame(PLUGIN, empty + connection.message(PLUGIN, 11, 1, nri_pb2.Empty()))
    assert [connection.receive(PLUGIN)[0] for _ in range(2)] == [9, 11]


def test_a_long_synchronize_comes_in_parts(rig: Rig) -> None:
    connection = rig.server.accept()
    connection.accept_registration()
    connection.request("Configure", nri_pb2.ConfigureRequest())
    first = nri_pb2.SynchronizeRequest(pods=[POD], containers=[CONTAINER], more=True)
    answer = connection.request("Synchronize", first)
    assert nri_pb2.SynchronizeResponse.FromString(answer.payload).more
    assert rig.states.empty()
    last = nri_pb2.Container(id="c2", pod_sandbox_id="s1", name="other", pid=43)
    connection.request("Synchronize", nri_pb2.SynchronizeRequest(containers=[last]))
    assert rig.states.get(timeout=5)[0]
    assert [(e.container_id, e.pod_uid) for e in rig.plugin.synced] == [
        ("c1", "pod-1"),
        ("c2", "pod-1"),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        struct.pack(">II", PLUGIN, 1 << 31),
        struct.pack(">II", 77, 4) + b"abcd",
        struct.pack(">II", PLUGIN, 10) + struct.pack(">IIBB", 1 << 31, 1, 1, 0),
        struct.pack(">II", PLUGIN, 12) + struct.pack(">IIBB", 2, 1, 1, 0) + b"\xff\xff",
    ],
    ids=["frame length", "connection", "message length", "no protobuf"],
)
def test_hostile_bytes_end_the_connection_and_a_new_one_is_made(rig: Rig, hostile: bytes) -> None:
    rig.up().trunk.sendall(hostile)
    assert rig.states.get(timeout=5)[0] is False
    rig.up()


def test_it_connects_again_when_the_runtime_comes_back_with_a_new_socket(rig: Rig) -> None:
    for _ in range(3):
        rig.up()
        rig.restart()
        connected, why = rig.states.get(timeout=5)
        assert not connected
        assert why
        while not rig.states.empty():
            rig.states.get()
    rig.up()


def test_a_refused_plugin_says_why(rig: Rig) -> None:
    rig.server.accept().accept_registration(error="plugins are switched off")
    connected, why = rig.states.get(timeout=5)
    assert not connected
    assert "plugins are switched off" in why


def test_no_socket_says_so(tmp_path: Path) -> None:
    states: queue.Queue[tuple[bool, str]] = queue.Queue()
    client = Client(
        tmp_path / "absent", Notes(), lambda up, why: states.put((up, why)), lambda _n, _s: None
    )
    thread = client.start()
    assert "No such file" in states.get(timeout=5)[1]
    client.stop()
    thread.join(5)


def test_each_answer_is_timed(rig: Rig) -> None:
    connection = rig.up()
    connection.request("Shutdown", nri_pb2.Empty())
    connection.request(
        "Shutdown", nri_pb2.Empty()
    )  # the first one's time was noted before this answer
    assert tuple(name for name, _ in rig.times[:3]) == ("Configure", "Synchronize", "Shutdown")
