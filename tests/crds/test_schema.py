"""The schemas take what they should and refuse what they should, without an API server."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from crds.generate import CRDS, OUTPUTS
from tests.crds.objects import BAD_RULE, BAD_SHAPE, GOOD, Object


def strict(schema: Any) -> Any:
    """OpenAPI to JSON schema; an unlisted field is refused, as kubectl's validation does."""
    if isinstance(schema, list):
        return [strict(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
    closed = {"additionalProperties": False} if "properties" in schema and not is_open else {}
    kept = {key: value for key, value in schema.items() if key != "x-kubernetes-validations"}
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {name: strict(value) for name, value in kept["properties"].items()}
    return (
        kept | {k: strict(kept[k]) for k in ("items", "additionalProperties") if k in kept} | closed
    )


def validators() -> dict[str, Draft202012Validator]:
    """One for each kind."""
    found = {}
    for name in OUTPUTS:
        spec = yaml.safe_load((CRDS / name).read_text())["spec"]
        schema = strict(spec["versions"][0]["schema"]["openAPIV3Schema"])
        found[spec["names"]["kind"]] = Draft202012Validator(schema)
    return found


VALIDATORS = validators()


def refusals(thing: Object) -> list[str]:
    """What the schema says against an object."""
    return [error.message for error in VALIDATORS[thing["kind"]].iter_errors(thing)]


@pytest.mark.parametrize("name", GOOD)
def test_good_object_is_taken(name: str) -> None:
    assert refusals(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD_SHAPE)
def test_object_of_a_wrong_shape_is_refused(name: str) -> None:
    assert refusals(BAD_SHAPE[name][0])


@pytest.mark.parametrize("name", BAD_RULE)
def test_what_the_rules_refuse_has_a_right_shape(name: str) -> None:
    """Else the rule would not be what refuses it."""
    assert refusals(BAD_RULE[name][0]) == []
