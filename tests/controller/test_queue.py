"""The work queue in virtual time."""

from __future__ import annotations

import asyncio
import itertools

from controller.errors import Denied, NameTaken, NotYet
from controller.model import Key
from controller.queue import WorkQueue, delay
from tests.controller.virtual import now, run

ONE, TWO = Key("ns", "one"), Key("ns", "two")


def test_a_key_added_often_is_worked_on_once() -> None:
    seen: list[Key] = []

    async def work(key: Key) -> None:
        seen.append(key)

    async def main() -> None:
        queue = WorkQueue(work)
        for _ in range(5):
            queue.add(ONE)
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(1)
        task.cancel()

    run(main())

    assert seen == [ONE]


def test_a_key_added_while_it_is_worked_on_is_worked_on_again_and_never_twice_at_once() -> None:
    busy: list[Key] = []
    seen: list[Key] = []

    async def main() -> None:
        async def work(key: Key) -> None:
            assert key not in busy
            busy.append(key)
            if len(seen) == 0:
                queue.add(ONE)
                queue.add(ONE)
            await asyncio.sleep(1)
            busy.remove(key)
            seen.append(key)

        queue = WorkQueue(work)
        queue.add(ONE)
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(10)
        task.cancel()

    run(main())

    assert seen == [ONE, ONE]


def test_other_keys_go_on_while_one_is_slow() -> None:
    done: dict[Key, float] = {}

    async def work(key: Key) -> None:
        await asyncio.sleep(60 if key == ONE else 1)
        done[key] = now()

    async def main() -> None:
        queue = WorkQueue(work, workers=2)
        queue.add(ONE)
        queue.add(TWO)
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(100)
        task.cancel()

    run(main())

    assert done[TWO] < done[ONE]


def test_a_failing_key_is_tried_again_with_growing_pauses() -> None:
    at: list[float] = []

    async def work(_key: Key) -> None:
        at.append(now())
        if len(at) < 5:
            raise NotYet("not yet")

    async def main() -> None:
        queue = WorkQueue(work)
        queue.add(ONE)
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(100)
        task.cancel()

    run(main())

    pauses = [round(later - earlier, 3) for earlier, later in itertools.pairwise(at)]
    assert pauses == [0.2, 0.4, 0.8, 1.6]


def test_the_earliest_of_several_waits_wins() -> None:
    at: list[float] = []

    async def work(_key: Key) -> None:
        at.append(now())

    async def main() -> None:
        queue = WorkQueue(work)
        queue.add_after(ONE, 30)
        queue.add_after(ONE, 5)
        queue.add_after(ONE, 20)
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(100)
        task.cancel()

    run(main())

    assert at == [1005.0]


def test_every_error_has_its_own_patience() -> None:
    assert delay(Denied("quota"), 1) == 2
    assert delay(Denied("quota"), 50) == 30
    assert delay(NameTaken("x"), 1) == 1
    assert delay(ValueError("a bug"), 99) == 60
