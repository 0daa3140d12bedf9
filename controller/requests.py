"""What a kept pod asks of its node: little while its command is stopped, then all again; pure.

`pods` reads the facts of a pod with it, `inplace` plans by it. Nothing is remembered: a request
that is neither the template's nor the small one is somebody else's, and left alone.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from controller.shapes import as_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Pod, Template

    Requests = tuple[tuple[str, str], ...]

# A request cannot be taken away in place, only made small; other resources cannot be changed.
SMALL: Final = {"cpu": "1m", "memory": "1Mi"}
MEMORY: Final = "memory"
RESTART: Final = "RestartContainer"
REFUSALS = frozenset({"Deferred", "Infeasible"})
GUARANTEED = "a Guaranteed pod keeps its requests"
WHOLE_POD = "requests of the whole pod stay"
# The API's own numbers have at most 18 digits; more of them, or a larger exponent, is nobody's.
QUANTITY = re.compile(
    r"\+?([0-9]{0,20})(?:\.([0-9]{0,20}))?([KMGTPE]i|[eE][+-]?[0-9]{1,2}|[numkMGTPE])?"
)
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY: dict[str, int] = {
    unit: 1 << 10 * power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
}


@lru_cache(maxsize=1024)
def quantity(text: str) -> Fraction | None:
    """A quantity of the Kubernetes API as an exact number; None when it is none."""
    match = QUANTITY.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return None
    number, unit = f"{match[1] or 0}.{match[2] or 0}", match[3] or ""
    if unit in BINARY:
        return Fraction(number) * BINARY[unit]
    return Fraction(f"{number}e{DECIMAL[unit] if unit in DECIMAL else int(unit[1:])}")


def changeable(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Requests:
    """What the first container asks for now, where that can change without a restart.

    With no request there is nothing to give back; the class of a Guaranteed pod would change.
    """
    if status.get("qosClass") != "Burstable" or spec.get("resources"):
        return ()
    asked = _asked(spec)
    fixed = _restarting(spec)
    return tuple((key, str(asked[key])) for key in SMALL if key in asked and key not in fixed)


def why_fixed(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Why a stop cannot give all requests back, in words; empty when it can."""
    if status.get("qosClass") == "Guaranteed":
        return GUARANTEED
    if spec.get("resources"):
        return WHOLE_POD
    kept = [key for key in _restarting(spec) if key in _asked(spec)]
    return f"its {' and '.join(kept)} request stays: resizePolicy {RESTART}" if kept else ""


def pending(metadata: Mapping[str, Any], conditions: Mapping[str, Any]) -> str:
    """Kubelet's words, while it does not grant what the pod's spec asks for now."""
    found: Mapping[str, Any] = conditions.get("PodResizePending") or {}
    reason = str(found.get("reason") or "")
    if found.get("status") != "True" or reason not in REFUSALS:
        return ""
    # It speaks of an earlier change, as long as kubelet has not seen the last one.
    if found.get("observedGeneration", metadata.get("generation")) != metadata.get("generation"):
        return ""
    return f"{reason}: {found.get('message') or 'no reason given'}"


def shrunk(pod: Pod, template: Template, *, frozen: bool) -> Requests:
    """The requests to make small; frozen processes still use their memory."""
    full = _full(template)
    return tuple(
        (key, SMALL[key])
        for key, present in pod.requests
        if key in full and same(present, full[key]) and not (frozen and key == MEMORY)
    )


def grown(pod: Pod, template: Template) -> Requests:
    """The requests to ask for again."""
    full = _full(template)
    return tuple(
        (key, full[key]) for key, present in pod.requests if key in full and is_small(key, present)
    )


def is_whole(pod: Pod, template: Template) -> bool:
    """Its spec asks for what the template does, and a stop would give some of it back."""
    full, present = _full(template), dict(pod.requests)
    mine = full.keys() & present.keys()
    return bool(mine) and all(same(present[key], full[key]) for key in mine)


def is_small(key: str, text: str) -> bool:
    """It is what a stop makes of a request."""
    return same(text, SMALL[key])


def same(one: str, other: str) -> bool:
    """The same amount, however written."""
    return one == other or (quantity(one) == quantity(other) is not None)


def _full(template: Template) -> dict[str, str]:
    """What the template asks for, where that is more than small; a limit alone asks for itself."""
    resources = as_dict(template.container.get("resources"))
    asked = as_dict(resources.get("limits")) | as_dict(resources.get("requests"))
    return {key: str(asked[key]) for key in SMALL if _is_more(key, str(asked.get(key)))}


def _is_more(key: str, text: str) -> bool:
    amount, small = quantity(text), quantity(SMALL[key])
    return amount is not None and small is not None and amount > small


def _asked(spec: Mapping[str, Any]) -> dict[str, Any]:
    return as_dict(as_dict(spec["containers"][0].get("resources")).get("requests"))


def _restarting(spec: Mapping[str, Any]) -> list[str]:
    """The resources whose change would restart the container, and so run the command."""
    policies = spec["containers"][0].get("resizePolicy") or []
    restart = {one.get("resourceName") for one in policies if one.get("restartPolicy") == RESTART}
    return [key for key in SMALL if key in restart]
