"""What only this process knows about one StoppableContainer.

Failures, back-offs, confirmed admissions, the times of the start or stop that goes on.

All of it may be lost at any moment; then steps are repeated, which is safe. `reconcile` keeps one
per key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.model import Place, Problem, Role

if TYPE_CHECKING:
    from controller.environment import Read
    from controller.timeline import Open

REPLACE_FIRST, REPLACE_LONGEST = 1.0, 30.0
# A stop that a start soon follows changes no requests: neither API writes nor work for kubelet.
RESIZE_AFTER_SECONDS = 5.0


@dataclass(slots=True)
class Memory:
    """Belongs to one uid; a new object of the same name starts with a new one."""

    uid: str
    generation: int = 0
    problems: dict[str, Problem] = field(default_factory=dict)
    admitted: dict[str, int] = field(default_factory=dict)
    deleted: set[Place] = field(default_factory=set)
    replaced: dict[Role, tuple[int, float]] = field(default_factory=dict)
    passing_since: float | None = None
    cold_reason: str = ""
    going: Open | None = None
    sources: Read | None = None
    rests_since: float | None = None

    def fail(self, step: str, reason: str, message: str, wait: float, now: float) -> None:
        """Remembers a failed step and holds it back."""
        self.problems[step] = Problem(reason, message, self.tries(step) + 1, now + wait)

    def tries(self, step: str) -> int:
        """How often the step has failed in a row."""
        known = self.problems.get(step)
        return known.tries if known else 0

    def replace(self, role: Role, now: float) -> None:
        """A pod was replaced: the next one not at once."""
        count = self.replaced.get(role, (0, 0.0))[0] + 1
        wait = min(REPLACE_LONGEST, REPLACE_FIRST * 2.0 ** (count - 1))
        self.replaced[role] = (count, now + wait)

    def rest(self, now: float, *, resting: bool) -> bool:
        """Whether the command has been stopped in its pod for a while, with what is seen now."""
        if not resting:
            self.rests_since = None
            return False
        if self.rests_since is None:
            self.rests_since = now
        return now >= self.rests_since + RESIZE_AFTER_SECONDS

    def held(self, now: float) -> frozenset[str]:
        """The steps that are in back-off."""
        steps = {name for name, problem in self.problems.items() if problem.until > now}
        pods = {f"ReplacePod/{role}" for role, (_, until) in self.replaced.items() if until > now}
        return frozenset(steps | pods)

    def next_look(self, now: float) -> float | None:
        """When the first back-off ends, or a rest has lasted."""
        ends = [problem.until for problem in self.problems.values()]
        ends += [until for _, until in self.replaced.values()]
        ends += [] if self.rests_since is None else [self.rests_since + RESIZE_AFTER_SECONDS]
        waits = [end - now for end in ends if end > now]
        return min(waits) if waits else None
