"""Records: what was written comes back, everything else is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nodeagent import records
from nodeagent.errors import RecordCorrupt
from nodeagent.model import Admission, Image, Record, Role
from nodeagent.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

RECORD = Record(
    "u1", "ns", "app", "img", Image("i", "c", ("e",), ("a", "b"), "/w"), "p1", deleting=True
)
ADMISSION = Admission("u1", Role.CONSUMER, "ns", "app", "p1", "main", init=True)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.root("u1").mkdir(parents=True)
    return made


def test_what_was_written_comes_back(paths: Paths) -> None:
    assert records.read_record(paths, "u1") is None
    records.write_record(paths, RECORD)
    assert records.read_record(paths, "u1") == RECORD
    records.write_admission(paths, ADMISSION)
    assert records.read_admission(paths, "u1", Role.CONSUMER) == ADMISSION
    assert records.read_admission(paths, "u1", Role.PROVIDER) is None
    assert records.read_fence(paths) == 0
    records.write_fence(paths, 7)
    assert records.read_fence(paths) == 7
    assert paths.record("u1").stat().st_mode & 0o777 == 0o600


def test_an_admission_of_an_earlier_version_is_not_supervised(paths: Paths) -> None:
    records.write_admission(paths, replace(ADMISSION, supervise=True))
    read = records.read_admission(paths, "u1", Role.CONSUMER)
    assert read is not None
    assert read.supervise
    path = paths.admission("u1", Role.CONSUMER)
    old = json.loads(path.read_text())
    del old["supervise"]
    path.write_text(json.dumps(old))
    assert records.read_admission(paths, "u1", Role.CONSUMER) == ADMISSION


GOOD = {"version": 1, **json.loads(json.dumps({"uid": "u1"}))}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 2}',
        "[" * 100_000,
        "\xff",
        "x" * (1024 * 1024 + 1),
    ],
    ids=lambda text: text[:12],
)
def test_what_we_did_not_write_is_refused(paths: Paths, text: str) -> None:
    paths.record("u1").write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordCorrupt, match=r"record\.json"):
        records.read_record(paths, "u1")


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "u2"},
        {"name": 5},
        {"deleting": "no"},
        {"image": None},
        {"image": {"digest": "d"}},
        {
            "image": {
                "digest": "i",
                "chain_id": "c",
                "entrypoint": "sh",
                "cmd": [],
                "working_dir": "",
            }
        },
        {
            "image": {
                "digest": "i",
                "chain_id": "c",
                "entrypoint": [1],
                "cmd": [],
                "working_dir": "",
            }
        },
    ],
)
def test_wrong_fields_are_refused(paths: Paths, change: dict[str, object]) -> None:
    records.write_record(paths, RECORD)
    content = json.loads(paths.record("u1").read_text())
    paths.record("u1").write_text(json.dumps(content | change))
    with pytest.raises(RecordCorrupt):
        records.read_record(paths, "u1")


def test_an_admission_in_the_wrong_place_is_refused(paths: Paths) -> None:
    records.write_admission(paths, ADMISSION)
    paths.admission("u1", Role.CONSUMER).rename(paths.admission("u1", Role.PROVIDER))
    with pytest.raises(RecordCorrupt):
        records.read_admission(paths, "u1", Role.PROVIDER)


def test_links_and_fifos_are_not_followed(paths: Paths, tmp_path: Path) -> None:
    records.write_record(paths, RECORD)
    paths.record("u1").rename(tmp_path / "elsewhere")
    paths.record("u1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordCorrupt):
        records.read_record(paths, "u1")
    paths.record("u1").unlink()
    os.mkfifo(paths.record("u1"))
    with pytest.raises(RecordCorrupt):
        records.read_record(paths, "u1")


def test_a_cut_write_leaves_the_old_record_and_does_not_stop_the_next(paths: Paths) -> None:
    records.write_record(paths, RECORD)
    (paths.root("u1") / ".record.json.new").write_text("half")
    assert records.read_record(paths, "u1") == RECORD
    other = replace(RECORD, deleting=False)
    records.write_record(paths, other)
    assert records.read_record(paths, "u1") == other
    (paths.root("u1") / ".record.json.new").write_text("half")
    records.forget(paths, "u1")
    assert not paths.root("u1").exists()
    records.forget(paths, "u1")
