"""Which starts and stops are on their way; they go before what nobody waits for.

`reconcile` asks it. On a small control plane each write costs the API server some 20 ms of CPU: the
instance's copies made their own start 10 ms later, and of thirty starts the last a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.model import Key

# More of them than people start by hand.
CROWD = 8
# What takes longer waits for something else than the API server.
LONGEST_SECONDS = 10.0
# A start of its own takes less, unless it waits for an image, a node or a grace period.
OWN_SECONDS = 2.0
AGAIN_SECONDS = 1.0


class Crowd:
    """Those that have begun and not ended; times are by one monotonic clock."""

    def __init__(self) -> None:
        self._going: dict[Key, float] = {}
        self._crowded = False
        self._waits: dict[Key, float] = {}

    def begins(self, key: Key, now: float) -> None:
        """A start or stop, from here on."""
        self._going[key] = now

    def ends(self, key: Key) -> None:
        """It is over, or cut short; fine when there was none."""
        self._going.pop(key, None)

    def forget(self, key: Key) -> None:
        """The object is gone, and its unhurried work with it."""
        self.ends(key)
        self._waits.pop(key, None)

    def wait(self, key: Key, now: float) -> float:
        """In how many seconds this one's unhurried work is to be looked at again; 0: do it now."""
        self._going = {one: at for one, at in self._going.items() if now < at + LONGEST_SECONDS}
        since = self._waits.setdefault(key, now)
        # To its very last one: who is late would else wait for what was put off until here.
        self._crowded = len(self._going) > CROWD or (self._crowded and bool(self._going))
        if self._crowded and now < since + LONGEST_SECONDS:
            return AGAIN_SECONDS
        if key in self._going and now < since + OWN_SECONDS:
            return since + OWN_SECONDS - now
        del self._waits[key]
        return 0.0
