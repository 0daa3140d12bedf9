"""YAML in, YAML out: what the user writes, and the two pods and the instance that come of it.

Each file in tests/data/input has its answer in tests/data/output; a missing answer fails with what
it would be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller import manifests
from controller.errors import InvalidSpec
from controller.model import Root
from controller.observe import read_parent
from controller.template import normalise

DATA = Path(__file__).resolve().parents[1] / "data"
CASES = ["short-form", "placed", "pod-spec", "grouped"]
KEPT = Root("sc-uid-r1", image="kept:1")


def made(case: str) -> list[Any]:
    body = yaml.safe_load((DATA / "input" / f"{case}.yaml").read_text())
    parent = read_parent(body)
    assert parent.template is not None, parent.invalid
    return [
        manifests.instance(parent, "n1", "sci-uid"),
        manifests.provider(parent, parent.template, "sci-uid", "", ""),
        manifests.provider(parent, parent.template, "sci-uid", "n1", "kept:1"),
        manifests.consumer(parent, parent.template, "sci-uid", "n1", KEPT),
    ]


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_as_written_down(case: str) -> None:
    answer = DATA / "output" / f"{case}.yaml"
    found = made(case)
    text = yaml.safe_dump_all(found, sort_keys=True)

    assert answer.exists(), text
    assert list(yaml.safe_load_all(answer.read_text())) == found


@pytest.mark.parametrize("case", CASES)
def test_building_does_not_change_what_the_user_wrote(case: str) -> None:
    path = DATA / "input" / f"{case}.yaml"
    body = yaml.safe_load(path.read_text())
    parent = read_parent(body)
    assert parent.template is not None

    manifests.consumer(parent, parent.template, "sci-uid", "n1", KEPT)
    manifests.provider(parent, parent.template, "sci-uid", "n1", "kept:1")

    assert body == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({}, "exactly one"),
        ({"container": {"image": "a"}, "spec": {"containers": [{"image": "a"}]}}, "exactly one"),
        ({"container": {}}, "needs an image"),
        ({"container": {"image": "  "}}, "needs an image"),
        ({"container": {"image": 7}}, "needs an image"),
        ({"container": "busybox"}, "an object is required"),
        ({"spec": {"containers": []}}, "at least one container"),
        ({"spec": {"containers": [{"image": "a"}], "hostUsers": False}}, "hostUsers"),
        ({"spec": {"containers": [{"image": "a"}]}, "volumes": [{"name": "x"}]}, "short form"),
        ({"container": {"image": "a"}, "metadata": {"labels": {"a": 1}}}, "map of strings"),
        ({"container": {"image": "a", "args": ["x" * 600_000]}}, "512 KiB"),
        (None, "an object is required"),
    ],
)
def test_a_bad_template_is_refused_with_what_to_change(template: Any, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        normalise({"running": True, "template": template})
