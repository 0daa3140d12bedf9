"""How many cycles of each kind, within the time that the run may take; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT = 40
# Leaves room below the 15 minutes that `make bench` promises, for clearing up and the picture.
MINUTES = 13.5


@dataclass(frozen=True, slots=True)
class Counts:
    """Cycles by kind; cheap kinds get more, for the sake of their p99."""

    cold: int
    create: int
    warm: int
    freeze: int
    rounds: int
    sleeps: int


def counts(cold: int) -> Counts:
    """The default's proportions, not more than the default of what COUNT does not ask for."""
    if not 1 <= cold <= 10_000:
        raise ValueError(f"count {cold}: must be 1 to 10000")
    return Counts(
        cold,
        create=min(10, cold),
        warm=min(300, 8 * cold),
        freeze=min(100, 3 * cold),
        rounds=min(3, cold),
        sleeps=min(2, cold),
    )


def minutes(cold: int) -> float:
    """Who asks for more cycles gets the time for them."""
    return MINUTES * max(1.0, cold / DEFAULT)


class Budget:
    """The time of the run; a part that is slower than expected ends early and says so."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._begin = clock()
        self.notes: list[str] = []

    def cycles(self, what: str, count: int, until: float) -> Iterator[int]:
        """At most `count`, until this share of the run's time is gone; always at least one."""
        for number in range(count):
            if number and self._clock() - self._begin > until * self._seconds:
                self.notes.append(f"{what}: {number} of {count} cycles, for lack of time")
                return
            yield number
