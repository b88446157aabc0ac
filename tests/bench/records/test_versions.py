"""Records of other schema versions: migrated step by step, or refused with both versions named."""

import json
import shutil
from pathlib import Path

import pytest
from places import GOLDEN

from layton_bench.errors import UserError
from layton_bench.records.folder import RECORD, read_record, read_samples
from layton_bench.records.versions import SCHEMA_VERSION, STEPS, can_migrate, migrate

# written when 1 was the current version
V1 = GOLDEN / "records" / "v1"


def _rename(raw):
    raw["speed"] = raw.pop("time")
    return raw


def _nest(raw):
    return {"timing": {"speed": raw.pop("speed")}, **raw}


CHAIN = {1: _rename, 2: _nest}


def test_steps_are_taken_one_after_another() -> None:
    old = {"schema_version": 1, "time": 4.5, "seed": 7}
    assert migrate(dict(old), steps=CHAIN, current=3) == {
        "schema_version": 3, "timing": {"speed": 4.5}, "seed": 7,
    }  # fmt: skip
    middle = {"schema_version": 2, "speed": 4.5}
    assert migrate(middle, steps=CHAIN, current=3) == {
        "schema_version": 3, "timing": {"speed": 4.5},
    }  # fmt: skip
    same = {"schema_version": 3, "timing": {}}
    assert migrate(same, steps=CHAIN, current=3) is same


@pytest.mark.parametrize(
    ("found", "can"),
    [(1, True), (2, True), (3, True), (0, False), (4, False), (-1, False), (None, False),
     ("2", False), (2.0, False), (True, False), ([1], False)],
)  # fmt: skip
def test_what_can_be_read(found: object, can: bool) -> None:
    assert can_migrate(found, steps=CHAIN, current=3) is can


def test_a_missing_step_is_no_way_through() -> None:
    assert not can_migrate(1, steps={2: _nest}, current=3)
    assert can_migrate(2, steps={2: _nest}, current=3)


def test_every_version_since_the_first_can_be_read() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_a_record_of_version_1_reads_as_one_of_today() -> None:
    raw = json.loads((V1 / RECORD).read_text("utf-8"))
    assert raw["schema_version"] == 1
    record = read_record(V1)
    assert record.schema_version == SCHEMA_VERSION
    assert record.model.name == raw["model"]["name"] == "webp@448B"
    assert {n: r.value for n, r in record.metrics.items()} == {
        n: r["value"] for n, r in raw["metrics"].items()
    }
    assert (record.throughput, record.model.environment) == (None, {})
    samples = read_samples(V1, record)
    assert samples["psnr"].mean() == pytest.approx(record.metrics["psnr"].value, rel=1e-12)


def test_an_edited_record_of_version_1_is_refused_before_any_step(tmp_path: Path) -> None:
    shutil.copytree(V1, tmp_path / "run")
    raw = json.loads((V1 / RECORD).read_text("utf-8"))
    raw["metrics"]["psnr"]["value"] += 1.0
    (tmp_path / "run" / RECORD).write_text(json.dumps(raw))
    with pytest.raises(UserError, match="it does not match its digest"):
        read_record(tmp_path / "run")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, "two"])
def test_other_versions_are_refused_with_both_named(tmp_path: Path, version: object) -> None:
    shutil.copytree(V1, tmp_path / "run")
    raw = json.loads((V1 / RECORD).read_text("utf-8"))
    raw["schema_version"] = version
    (tmp_path / "run" / RECORD).write_text(json.dumps(raw))
    with pytest.raises(UserError) as caught:
        read_record(tmp_path / "run")
    assert caught.value.reason == (
        f"it has schema version {version}; this layton-bench reads versions 1 to {SCHEMA_VERSION}"
    )
    assert str(tmp_path / "run") in caught.value.remedy
