"""Where a root may go: the template's rules about other pods, turned so that they see roots; pure.

The provider does not carry the user's labels, because a Service must never select it. It carries
them under a prefix of ours, as shadows, and its rules look for shadows too: so stopped containers
count. An object's own pods are left out of its rules, or the two could never stand on one node.
`manifests` puts the result into the pods.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

from controller import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controller.model import Body, Template

# The name part of a label key; apimachinery/pkg/util/validation.
MAX_NAME = 63
ANTI_AFFINITY = "podAntiAffinity"
AFFINITY = "podAffinity"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def shadow_key(key: str) -> str:
    """A label's key under our prefix; one that is too long then becomes its digest."""
    name = key.replace("/", ".")
    if len(name) > MAX_NAME:
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{names.PLACEMENT_PREFIX}/{name}"


def shadow_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The user's labels as the provider carries them."""
    ours = f"{names.GROUP}/"
    return {shadow_key(key): value for key, value in labels.items() if not key.startswith(ours)}


def provider_rules(name: str, template: Template, *, pinned: bool) -> Body:
    """The affinity and the topology spread of the provider.

    Where the root is already, rules about other pods could only keep the provider from it.
    """
    rules: Body = {}
    affinity: Body = copy.deepcopy(dict(template.pod.get("affinity") or {}))
    if pinned:
        affinity.pop(ANTI_AFFINITY, None)
        affinity.pop(AFFINITY, None)
    if affinity.get(ANTI_AFFINITY):
        affinity[ANTI_AFFINITY] = _each_term(affinity[ANTI_AFFINITY], lambda t: _apart(name, t))
    if affinity.get(AFFINITY):
        affinity[AFFINITY] = _each_term(affinity[AFFINITY], lambda t: _near(template.labels, t))
    if affinity:
        rules["affinity"] = affinity
    spread = template.pod.get("topologySpreadConstraints")
    if spread and not pinned:
        rules["topologySpreadConstraints"] = [_shadow(constraint) for constraint in spread]
    return rules


def consumer_affinity(name: str, affinity: Mapping[str, Any] | None) -> Body | None:
    """The user's own, but its own provider is in nobody's way."""
    if not affinity or not affinity.get(ANTI_AFFINITY):
        return dict(affinity) if affinity else None
    rules = _each_term(affinity[ANTI_AFFINITY], lambda term: [_others(name, term)])
    return dict(affinity) | {ANTI_AFFINITY: rules}


def _each_term(rules: Mapping[str, Any], change: Callable[[Body], list[Body]]) -> Body:
    changed: Body = dict(rules)
    if rules.get(REQUIRED):
        changed[REQUIRED] = [new for term in rules[REQUIRED] for new in change(term)]
    if rules.get(PREFERRED):
        changed[PREFERRED] = [
            {**weighted, "podAffinityTerm": new}
            for weighted in rules[PREFERRED]
            for new in change(weighted.get("podAffinityTerm") or {})
        ]
    return changed


def _apart(name: str, term: Body) -> list[Body]:
    """Away from the pods that the user means, and from the roots of such pods."""
    selector = term.get("labelSelector") or {}
    names_labels = selector.get("matchLabels") or selector.get("matchExpressions")
    return [_others(name, term), *([_shadow(term)] if names_labels else [])]


def _near(labels: Mapping[str, str], term: Body) -> list[Body]:
    """Near the pods that the user means; a group that is to be together is one of roots."""
    selector = term.get("labelSelector")
    return [_shadow(term) if selector and selects(selector, labels) else term]


def _others(name: str, term: Body) -> Body:
    """The same term, but for the pods of this object."""
    selector = term.get("labelSelector")
    if selector is None:
        return term
    not_ours = {"key": names.INSTANCE_LABEL, "operator": "NotIn", "values": [name]}
    expressions = [*(selector.get("matchExpressions") or []), not_ours]
    return {**term, "labelSelector": {**selector, "matchExpressions": expressions}}


def _shadow(term: Mapping[str, Any]) -> Body:
    """The same term about shadows of labels."""
    shadow: Body = dict(term)
    selector = term.get("labelSelector")
    if selector:
        shadow["labelSelector"] = {
            **selector,
            **_changed(selector, "matchLabels", shadow_labels),
            **_changed(
                selector,
                "matchExpressions",
                lambda found: [{**one, "key": shadow_key(str(one["key"]))} for one in found],
            ),
        }
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        shadow |= _changed(term, field, lambda keys: [shadow_key(str(key)) for key in keys])
    return shadow


def _changed(where: Mapping[str, Any], field: str, change: Callable[[Any], Any]) -> Body:
    return {field: change(where[field])} if where.get(field) else {}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches; meta/v1, LabelSelectorAsSelector."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(str(expression.get("key")))
    values = expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
