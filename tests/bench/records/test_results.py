import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from fakes import record, suite
from hypothesis import given, strategies as st

from layton_bench.errors import UserError
from layton_bench.records.folder import RECORD
from layton_bench.records.record import RunRecord
from layton_bench.records.results import (
    StorageError,
    StoredRun,
    check_writable,
    find_existing,
    find_run,
    latest,
    model_folder,
    new_run_id,
    run_folders,
    run_key,
    safe_name,
    store,
    stored_runs,
)

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


def test_run_ids_sort_by_time_and_differ_within_a_moment() -> None:
    moment = datetime(2025, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
    made = [new_run_id(moment) for _ in range(100)]
    assert len(set(made)) == 100
    assert all(run_id.startswith("20250304T050607.089Z-") for run_id in made)
    assert new_run_id(moment) < new_run_id(moment.replace(microsecond=100_000))
    assert new_run_id(moment) < new_run_id(moment.replace(second=8, microsecond=0))
    assert safe_name(made[0]) == made[0]


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


def test_a_finished_run_replaces_those_of_the_same_inputs(tmp_path: Path) -> None:
    put(
        tmp_path,
        record("m", number=1, run_key="k", status="interrupted"),
        record("m", number=2, run_key="k"),
        record("m", number=3, run_key="other"),
        record("m", number=4, run_key="k"),
    )
    assert [r.record.run_key for r in stored_runs(tmp_path)] == ["other", "k"]
    assert ids(stored_runs(tmp_path))[-1].endswith("4")


def test_an_interrupted_run_replaces_nothing(tmp_path: Path) -> None:
    put(
        tmp_path,
        record("m", number=1, run_key="k"),
        record("m", number=2, run_key="k", status="interrupted"),
    )
    assert [r.record.status for r in stored_runs(tmp_path)] == ["complete", "interrupted"]


def test_another_process_that_is_still_writing_is_left_alone(tmp_path: Path) -> None:
    made = record("m", run_key="k")
    theirs = model_folder(tmp_path, "tiny-16", "m") / ".tmp-theirs"
    theirs.mkdir(parents=True)
    (theirs / RECORD).write_text(json.dumps({"run_key": "k"}))
    put(tmp_path, made)
    assert (theirs / RECORD).is_file()


def test_a_damaged_neighbour_does_not_keep_a_run_from_being_stored(tmp_path: Path) -> None:
    damaged = model_folder(tmp_path, "tiny-16", "m") / "damaged"
    damaged.mkdir(parents=True)
    for text in ("{", "[]"):
        (damaged / RECORD).write_text(text)
        put(tmp_path, record("m", number=len(text), run_key=text))
    assert (damaged / RECORD).is_file()


def test_a_run_that_cannot_be_written_keeps_its_values_in_the_error(tmp_path: Path) -> None:
    def fail(folder: Path) -> tuple[()]:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left on device") as caught:
        store(tmp_path, record("m"), TABLE, fail)
    assert caught.value.record.metrics["psnr"].value == 1.0
    assert list(run_folders(tmp_path)) == []


def test_the_newest_run_of_each_model_options_dtype_and_data(tmp_path: Path) -> None:
    made = put(
        tmp_path,
        record("m", number=1),
        record("m", number=2),
        record("m", number=3, options={"steps": 2}),
        record("m", number=4, dtype="bfloat16"),
        record("m", number=5, data="e" * 64),
        record("m", number=6, suite=OTHER),
        record("a", number=7),
    )
    chosen = latest(list(reversed(made)))
    assert [(r.record.model.name, r.record.run_id[-1]) for r in chosen] == [
        ("a", "7"), ("m", "2"), ("m", "3"), ("m", "4"), ("m", "5"), ("m", "6"),
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


def test_an_output_folder_is_tried_before_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "one")
    assert list((tmp_path / "new" / "one").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        check_writable(tmp_path / "file")
