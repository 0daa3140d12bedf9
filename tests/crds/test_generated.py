"""What is committed in crds/ is what crds/generate.py makes of crds/src, and structural."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.generate import CRDS, DEFINITIONS, OUTPUTS, generated, trimmed_definitions

ETCD_LIMIT = 1536 * 1024
SWAGGER = "k8s.io/kubernetes@v1.36.3/api/openapi-spec/swagger.json"
# A marker that was left, or a comma in an unquoted description, shows as something else.
KEYWORDS = {
    *("type", "format", "description", "default", "enum", "pattern", "anyOf"),
    *("properties", "additionalProperties", "required", "items"),
    *("minLength", "maxLength", "minItems", "maxItems", "minimum"),
}


def schema_of(name: str) -> dict[str, Any]:
    """The OpenAPI schema of one CRD file."""
    crd = yaml.safe_load((CRDS / name).read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def schemas_in(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """A schema and all that are below it, each with its path."""
    found = [(path, schema)]
    for name, value in schema.get("properties", {}).items():
        found += schemas_in(value, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += schemas_in(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("name", OUTPUTS)
def test_committed_file_is_what_the_sources_give(name: str) -> None:
    assert (CRDS / name).read_text() == generated(name), "run python crds/generate.py"


def test_only_crds_lie_where_kubectl_looks() -> None:
    seen = sorted(p.name for p in CRDS.iterdir() if p.suffix in {".yaml", ".yml", ".json"})
    assert seen == sorted(OUTPUTS)


def test_kept_definitions_are_kubernetes_own() -> None:
    cache = os.environ.get("GOMODCACHE") or Path.home() / "go" / "pkg" / "mod"
    swagger = Path(cache) / SWAGGER
    if not swagger.exists():
        pytest.skip("k8s.io/kubernetes is not in the Go module cache")
    assert DEFINITIONS.read_text() == trimmed_definitions(swagger), "run it with --swagger"


@pytest.mark.parametrize("name", OUTPUTS)
def test_file_is_far_below_etcds_limit(name: str) -> None:
    assert (CRDS / name).stat().st_size < ETCD_LIMIT / 4


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_part_has_a_type_and_no_marker_is_left(name: str) -> None:
    for path, schema in schemas_in(schema_of(name)):
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert {key for key in schema if not key.startswith("x-kubernetes-")} <= KEYWORDS, path


@pytest.mark.parametrize("name", OUTPUTS)
def test_only_two_fields_have_defaults(name: str) -> None:
    """Any other one would be written into the user's object, and pods change their defaults."""
    found = [path for path, schema in schemas_in(schema_of(name)) if "default" in schema]
    assert found == [".spec.running", ".spec.init"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_required_fields_exist(name: str) -> None:
    for path, schema in schemas_in(schema_of(name)):
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), path


def test_the_two_specs_differ_by_the_node_only() -> None:
    mine, instances = (schema_of(name)["properties"] for name in OUTPUTS)
    del instances["spec"]["properties"]["node"]
    assert mine == instances
