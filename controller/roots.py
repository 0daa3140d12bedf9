"""Which of an object's roots counts, and whether its image asks for another one; pure.

An object has one root, named by its uid. With `imageChangePolicy: Reset` a changed image makes
another, `<uid>-r1` and so on, and the old one is kept until the new one has started. `observe`
picks the one that counts, `plan` makes and removes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controller.model import Observed, Parent, Pod, Root

# A uid is hexadecimal, so it never ends like this.
_LATER = re.compile(r"(.+)-r(\d{1,6})")


def owner_of(root_id: str) -> str:
    """The uid of the StoppableContainer that a root belongs to."""
    later = _LATER.fullmatch(root_id)
    return later.group(1) if later else root_id


def number_of(root_id: str) -> int:
    """The how manieth root of its object it is; the first is 0."""
    later = _LATER.fullmatch(root_id)
    return int(later.group(2)) if later else 0


def next_id(uid: str, roots: Iterable[Root]) -> str:
    """The name for one more root; a number is not used again while a later one exists."""
    numbers = [number_of(root.uid) for root in roots]
    return f"{uid}-r{max(numbers) + 1}" if numbers else uid


def active(roots: tuple[Root, ...], parent: Parent, consumer: Pod | None) -> Root | None:
    """The root that counts.

    The pod's own, else one that processes live on, else the newest that was made from the
    template's image, else the newest. So an image that is changed back finds its old root.
    """
    newest_first = sorted(roots, key=lambda root: number_of(root.uid), reverse=True)
    lived_on = consumer.root if consumer and not consumer.foreign else ""
    image = parent.template.image if parent.template else ""
    tests = (
        lambda root: root.uid == lived_on,
        lambda root: root.held,
        lambda root: root.image == image,
        lambda _root: True,
    )
    for test in tests:
        found = next((root for root in newest_first if test(root)), None)
        if found:
            return found
    return None


def superseded(seen: Observed) -> tuple[Root, ...]:
    """The roots that no longer count once the container has started on the active one."""
    active_id = seen.root.uid if seen.root else ""
    return tuple(root for root in seen.roots if root.uid != active_id)
