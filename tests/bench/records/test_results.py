from pathlib import Path

import pandas as pd
import pytest
from fakes import record, suite
from hypothesis import given, strategies as st

from layton_bench.errors import UserError
from layton_bench.records.folder import RECORD
from layton_bench.records.record import RunRecord
from layton_bench.records.results import (
    StoredRun,
    find_existing,
    find_run,
    latest,
    run_folders,
    run_key,
    safe_name,
    stored_runs,
)
from layton_bench.records.storing import store

TABLE = pd.DataFrame({"key": ["a"], "psnr": [30.0]})
OTHER = suite(name="other-16")


def put(out: Path, *records: RunRecord) -> list[StoredRun]:
    return [store(out, made, TABLE, lambda folder: ()) for made in records]


def ids(runs: list[StoredRun]) -> list[str]:
    return [run.record.run_id for run in runs]


@given(st.text())
def test_any_name_becomes_one_harmless_path_component(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not safe.startswith(".")
    assert Path("x", safe).parent == Path("x")
    assert Path("x", safe).name == safe


def test_usual_names_stay_what_they_are() -> None:
    for name in ("webp@448B", "llamagen-16@256", "layton-h-star", "coco5k-1024"):
        assert safe_name(name) == name
    assert safe_name("../../etc/passwd") == "_.._etc_passwd"


def test_the_run_key_is_over_all_inputs_in_any_order() -> None:
    assert run_key({"a": 1, "b": [2]}) == run_key({"b": [2], "a": 1})
    assert run_key({"a": 1}) != run_key({"a": "1"})


def test_runs_are_listed_oldest_first_and_by_suite(tmp_path: Path) -> None:
    put(tmp_path, record("m", number=3), record("a", number=5), record("m", number=4, suite=OTHER))
    assert [r.record.model.name for r in stored_runs(tmp_path)] == ["m", "m", "a"]
    assert [r.record.suite.name for r in stored_runs(tmp_path, "other-16")] == ["other-16"]
    assert stored_runs(tmp_path, "none") == []
    assert stored_runs(tmp_path / "nowhere") == []


def test_what_is_unfinished_or_of_somebody_else_is_passed_over(tmp_path: Path) -> None:
    (stored,) = put(tmp_path, record())
    hidden = stored.folder.with_name(".tmp-x")
    hidden.mkdir()
    (hidden / RECORD).write_text("half a record")
    stored.folder.with_name("empty").mkdir()
    (tmp_path / "leaderboard.md").write_text("x")
    assert list(run_folders(tmp_path)) == [stored.folder]


def test_a_damaged_record_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, damaged = put(tmp_path, record(number=1), record(number=2))
    (damaged.folder / RECORD).write_text("{")
    assert stored_runs(tmp_path) == [good]
    assert find_existing(tmp_path, "tiny-16", "fake", good.record.run_key) == good
    assert [str(damaged.folder / RECORD) in text for text in caplog.messages] == [True, True]


def test_an_existing_run_is_found_by_its_key_the_newest_first(tmp_path: Path) -> None:
    key = "k" * 64
    made = record("m", number=1, run_key=key)
    put(tmp_path, made, record("m", number=2, run_key="other"))
    found = find_existing(tmp_path, "tiny-16", "m", key)
    assert found is not None
    assert found.record.run_id == made.run_id
    assert find_existing(tmp_path, "tiny-16", "m", "absent") is None
    assert find_existing(tmp_path, "tiny-16", "none", key) is None


def test_an_interrupted_run_does_not_count_as_existing(tmp_path: Path) -> None:
    put(tmp_path, record("m", run_key="k", status="interrupted"))
    assert find_existing(tmp_path, "tiny-16", "m", "k") is None


def test_a_run_replaces_older_runs_of_the_same_inputs_also_by_older_code(tmp_path: Path) -> None:
    first = {"model": "m", "seed": 0, "code": "one"}
    made = put(
        tmp_path,
        record("m", number=1, inputs=first),
        record("m", number=2, inputs=first | {"code": "two"}),
        record("m", number=3, inputs=first | {"seed": 1}, seed=1),
        record("m", number=4, inputs=first | {"candidates": "c" * 64}),
        record("m", number=5),  # of an older version: only the hash of its inputs is known
        record("m", number=6),
        record("模型", number=7),
        record("数据", number=8),
    )
    chosen = latest(list(reversed(made)))
    assert [(r.record.model.name, r.record.run_id[-1]) for r in chosen] == [
        ("m", "2"), ("m", "3"), ("m", "4"), ("m", "5"), ("m", "6"), ("数据", "8"), ("模型", "7"),
    ]  # fmt: skip


def test_the_whole_beats_a_newer_partial_run(tmp_path: Path) -> None:
    partial = {"status": "partial", "data": "p" * 64}
    made = put(
        tmp_path,
        record("m", number=1),
        record("m", number=2, **partial),
        record("m", number=3, status="interrupted"),
        record("other", number=4, **partial),
    )
    assert [r.record.run_id[-1] for r in latest(made)] == ["1", "4"]


def test_a_run_is_found_by_folder_id_start_of_it_or_model(tmp_path: Path) -> None:
    first, second, third = put(
        tmp_path, record("m", number=1), record("m", number=2), record("a/b", number=3)
    )
    assert find_run(tmp_path / "nowhere", str(first.folder)) == first
    assert find_run(tmp_path, first.record.run_id) == first
    assert find_run(tmp_path, first.record.run_id[:16]) == first
    assert find_run(tmp_path, "m") == second
    assert find_run(tmp_path, "a/b") == third


def test_the_start_of_several_ids_is_not_enough(tmp_path: Path) -> None:
    put(tmp_path, record("m", number=1), record("m", number=2))
    with pytest.raises(UserError, match=r"2 run ids begin with it\. Give more of the id\."):
        find_run(tmp_path, "2025")


def test_an_unknown_run_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no run in {tmp_path} has that id or model"):
        find_run(tmp_path, "nothing")


def test_a_model_is_found_by_its_name_though_names_share_a_folder(tmp_path: Path) -> None:
    first, second = put(tmp_path, record("a/b", number=1), record("a:b", number=2))
    assert first.folder.parent == second.folder.parent
    assert find_run(tmp_path, "a/b") == first
    assert find_run(tmp_path, "a:b") == second
    with pytest.raises(UserError, match="has that id or model"):
        find_run(tmp_path, "a?b")


def test_runs_of_a_sweep_come_after_those_with_default_options(tmp_path: Path) -> None:
    (swept,) = put(tmp_path, record("m", number=3, options={"steps": 2}))
    assert find_run(tmp_path, "m") == swept
    default, _ = put(tmp_path, record("m", number=1), record("m", number=4, options={"steps": 4}))
    assert find_run(tmp_path, "m") == default


def test_long_names_and_those_of_any_script_have_folders(tmp_path: Path) -> None:
    names = ["模型", "м" * 300, "a" * 500, "a" * 501, "café", "cafe\u0301"]
    for number, name in enumerate(names, start=1):
        assert len(safe_name(name).encode()) <= 160
        put(tmp_path, record(name, number=number))
    assert len({safe_name(name) for name in names}) == 5  # both ways to write é are one
    assert [find_run(tmp_path, name).record.model.name for name in names] == names
