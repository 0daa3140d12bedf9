"""The store: what counts when events, answers and LISTs come in any order."""

from __future__ import annotations

from typing import Any

from controller.model import POD, SC, AgentStatus, Key, Root, Timeline
from controller.store import Store

KEY = Key("ns", "app")


def body(revision: int, uid: str = "u1", **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": "app", "uid": uid, "resourceVersion": str(revision)}
    return {"metadata": metadata | more}


def known(store: Store) -> str | None:
    found = store.get(POD, KEY)
    return found["metadata"]["resourceVersion"] if found else None


def test_the_answer_of_an_own_write_counts_before_its_echo() -> None:
    store = Store()
    woken: list[str] = []
    store.on_object = lambda _kind, one: woken.append(one["metadata"]["resourceVersion"])

    store.put(POD, body(7))
    store.put(POD, body(7))

    assert known(store) == "7"
    assert woken == ["7"]


def test_news_tell_what_was_known_before() -> None:
    store = Store()
    told: list[tuple[Any, Any]] = []
    store.on_news = lambda _kind, before, after: told.append((before, after))

    store.put(POD, body(7))
    store.put(POD, body(7))
    store.put(POD, body(8))
    store.drop(POD, body(9))
    store.drop(POD, body(9))

    assert told == [(None, body(7)), (body(7), body(8)), (body(8), None)]


def test_a_new_time_of_a_root_alone_wakes_nobody() -> None:
    store = Store()
    store.expect_agent("n1", 0.0)
    woken: list[Key] = []
    store.on_root = lambda _node, key: woken.append(key)
    store.put_root("n1", Root("u1", "ns", "app"))

    store.put_root("n1", Root("u1", "ns", "app", timeline=Timeline("p1", sandbox=5)))

    word = store.word("n1")
    assert word is not None
    assert word.roots["u1"].timeline.sandbox == 5
    assert woken == [KEY]


def test_a_stale_event_is_ignored() -> None:
    store = Store()
    store.put(POD, body(7))

    assert not store.put(POD, body(6))
    assert known(store) == "7"


def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    store = Store()
    store.put(POD, body(7))
    store.drop(POD, body(8))

    store.put(POD, body(7))

    assert known(store) is None


def test_the_deletion_of_an_older_object_leaves_the_new_one() -> None:
    store = Store()
    store.put(POD, body(9, uid="u2"))

    store.drop(POD, body(8))

    assert known(store) == "9"


def test_a_list_drops_ghosts_and_keeps_what_is_newer() -> None:
    store = Store()
    store.put(POD, body(3))
    store.put(SC, body(3))

    missed = store.replace(POD, [], 5, lambda _one: True)

    assert missed == 1
    assert known(store) is None
    assert store.get(SC, KEY)
    store.put(POD, body(9, uid="u2"))
    assert store.replace(POD, [], 5, lambda _one: True) == 0
    assert known(store) == "9"


def test_what_was_deleted_while_it_was_listed_has_not_been_missed() -> None:
    store = Store()
    store.put(POD, body(3))
    store.drop(POD, body(6))

    missed = store.replace(POD, [body(4)], 5, lambda _one: True)

    assert (missed, known(store)) == (0, None)


def test_a_new_snapshot_drops_the_roots_that_it_does_not_name() -> None:
    store = Store()
    store.begin_snapshot("n1", 0)
    store.put_agent("n1", AgentStatus(True, "Ready", ""))
    store.put_root("n1", Root("r1"))
    store.put_root("n1", Root("r2"))
    store.end_snapshot("n1")
    store.agent_silent("n1", 5)

    assert store.places("r1") == {("n1", "r1")}
    store.begin_snapshot("n1", 6)
    store.put_root("n1", Root("r2"))
    store.end_snapshot("n1")

    assert store.places("r1") == set()
    assert store.places("r2") == {("n1", "r2")}


def test_a_silent_agent_is_not_connected_and_its_last_word_is_kept() -> None:
    store = Store()
    store.begin_snapshot("n1", 0)
    store.put_root("n1", Root("r1"))
    store.end_snapshot("n1")

    store.agent_silent("n1", 5)

    word = store.word("n1")
    assert word is not None
    assert not word.agent.connected
    assert "r1" in word.roots
