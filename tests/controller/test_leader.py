"""The lease on the fake API server, in virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from controller.errors import NotYet
from controller.leader import EPOCH, LEASE_SECONDS, RENEW_DEADLINE, Leader
from controller.model import LEASE, Key
from tests.controller.virtual import now, run
from tests.fakes.kube import FakeKube

KEY = Key("sys", "stoppablecontainer-controller")


class Candidate:
    """A replica, and what became of it."""

    def __init__(self, kube: FakeKube, name: str) -> None:
        self.started: list[float] = []
        self.died: list[float] = []
        self.leader = Leader(
            kube,
            "sys",
            name,
            on_start=lambda: self.started.append(now()),
            die=self._die,
            monotonic=now,
        )
        self.task = asyncio.create_task(self.leader.run())

    def _die(self, _why: str) -> None:
        self.died.append(now())
        self.leader._renewed_at = None
        self.task.cancel()


def test_one_leads_and_the_other_waits() -> None:
    async def main() -> None:
        kube = FakeKube()
        first = Candidate(kube, "a")
        await asyncio.sleep(1)
        second = Candidate(kube, "b")
        await asyncio.sleep(300)

        assert first.leader.leading()
        assert not second.leader.leading()
        assert first.leader.fence > 0
        assert second.leader.fence == 0

    run(main())


def test_who_cannot_read_the_lease_could_not_take_over() -> None:
    async def main() -> None:
        kube = FakeKube()
        Candidate(kube, "a")
        await asyncio.sleep(1)
        second = Candidate(kube, "b")
        assert not second.leader.informed()
        await asyncio.sleep(1)
        assert second.leader.informed()

        async def away(_call: str) -> None:
            raise NotYet("the API server is away")

        kube.before = away
        await asyncio.sleep(LEASE_SECONDS - 5)
        assert second.leader.informed()
        await asyncio.sleep(10)
        assert not second.leader.informed()

    run(main())


def test_a_stopped_leader_hands_over_at_once_with_a_higher_fence() -> None:
    async def main() -> None:
        kube = FakeKube()
        first = Candidate(kube, "a")
        await asyncio.sleep(1)
        second = Candidate(kube, "b")
        await asyncio.sleep(20)

        first.task.cancel()
        begun = now()
        await asyncio.sleep(4)

        assert not first.leader.leading()
        assert second.leader.leading()
        assert second.started[0] - begun <= 3
        assert second.leader.fence == first.leader.fence + 1

    run(main())


def test_a_hung_api_ends_the_leader_before_its_lease_does() -> None:
    async def main() -> None:
        kube = FakeKube()
        leader = Candidate(kube, "a")
        await asyncio.sleep(30)
        begun = now()

        async def hang(_verb: str) -> None:
            await asyncio.sleep(10_000)

        kube.before = hang
        await asyncio.sleep(60)

        assert leader.died
        assert leader.died[0] - begun <= RENEW_DEADLINE < LEASE_SECONDS

    run(main())


def test_a_short_failure_of_the_api_costs_nothing() -> None:
    async def main() -> None:
        kube = FakeKube()
        leader = Candidate(kube, "a")
        await asyncio.sleep(30)

        async def fail(_verb: str) -> None:
            raise NotYet("502")

        kube.before = fail
        await asyncio.sleep(5)
        kube.before = None
        await asyncio.sleep(60)

        assert leader.leader.leading()
        assert leader.died == []

    run(main())


def test_two_leaders_never_act_at_the_same_time() -> None:
    async def main() -> None:
        kube = FakeKube()
        first = Candidate(kube, "a")
        await asyncio.sleep(10)
        second = Candidate(kube, "b")
        broken = False

        real = first.leader._kube

        class Cut:
            def __getattr__(self, name: str) -> object:
                if broken:
                    raise NotYet("no network")
                return getattr(real, name)

        first.leader._kube = Cut()  # type: ignore[assignment]
        await asyncio.sleep(20)
        broken = True
        for _ in range(600):
            await asyncio.sleep(0.1)
            assert not (first.leader.leading() and second.leader.leading())

        assert second.leader.leading()
        assert second.leader.fence == first.leader.fence + 1

    run(main())


def test_a_lease_taken_by_hand_ends_the_leader() -> None:
    async def main() -> None:
        kube = FakeKube()
        leader = Candidate(kube, "a")
        await asyncio.sleep(10)
        kube.change(LEASE, KEY, {"spec": {"holderIdentity": "somebody"}})

        await asyncio.sleep(5)

        assert leader.died

    run(main())


def test_the_same_pod_begins_with_a_higher_fence_each_time() -> None:
    async def main() -> None:
        kube = FakeKube()
        first = Candidate(kube, "a")
        await asyncio.sleep(10)
        first.task.cancel()
        await asyncio.sleep(5)
        again = Candidate(kube, "a")
        await asyncio.sleep(20)

        assert again.leader.fence == first.leader.fence + 1

    run(main())


def test_a_lease_that_was_deleted_does_not_begin_with_a_low_fence() -> None:
    async def main() -> None:
        leader = Candidate(FakeKube(), "a")
        await asyncio.sleep(5)

        assert leader.leader.fence > (datetime.now(UTC) - EPOCH) // timedelta(minutes=1)

    run(main())
