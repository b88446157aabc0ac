import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from fakes import record

from layton_bench.errors import UserError
from layton_bench.records.folder import RECORD, read_record, read_samples
from layton_bench.records.record import RunRecord
from layton_bench.records.results import (
    StoredRun,
    find_run,
    latest,
    model_folder,
    run_folders,
    safe_name,
    stored_runs,
)
from layton_bench.records.storing import StorageError, check_writable, later_id, new_run_id, store

TABLE = pd.DataFrame({"key": ["a"], "psnr": [30.0]})


def put(out: Path, *records: RunRecord) -> list[StoredRun]:
    return [store(out, made, TABLE, lambda folder: ()) for made in records]


def ids(runs: list[StoredRun]) -> list[str]:
    return [run.record.run_id for run in runs]


def test_run_ids_sort_by_time_and_differ_within_a_moment() -> None:
    moment = datetime(2025, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
    made = [new_run_id(moment) for _ in range(100)]
    assert len(set(made)) == 100
    assert all(run_id.startswith("20250304T050607.089Z-") for run_id in made)
    assert new_run_id(moment) < new_run_id(moment.replace(microsecond=100_000))
    assert new_run_id(moment) < new_run_id(moment.replace(second=8, microsecond=0))
    assert safe_name(made[0]) == made[0]


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


def test_an_output_folder_is_tried_before_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "one")
    assert list((tmp_path / "new" / "one").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        check_writable(tmp_path / "file")


def test_a_clock_that_went_back_makes_no_run_older(tmp_path: Path) -> None:
    def run_at(time: str, **changes) -> RunRecord:
        return record("m", run_id=f"{time}Z-0a0b0c0d", **changes)

    future, now = "20990101T000000.999", "20260101T000000.000"
    put(tmp_path, run_at(future, seed=0, inputs={"data": "d", "code": "old"}))
    (stored,) = put(tmp_path, run_at(now, seed=0, inputs={"data": "d", "code": "new"}))
    assert stored.record.run_id == "20990101T000001.000Z-0a0b0c0d"
    assert stored.folder.name == stored.record.run_id == read_record(stored.folder).run_id
    assert [r.record.inputs["code"] for r in latest(stored_runs(tmp_path))] == ["new"]
    assert find_run(tmp_path, "m") == stored


def test_ids_of_other_kinds_do_not_matter() -> None:
    own = "20260101T000000.000Z-0a0b0c0d"
    assert later_id(own, []) == own
    assert later_id(own, ["backup", "zzz", "20250101T000000.000Z-ffffffff"]) == own
    assert later_id("mine", [own]) == "mine"
    assert later_id(own, ["20261231T235959.999Z-ffffffff"]) == "20270101T000000.000Z-0a0b0c0d"


def test_a_newer_record_of_the_same_inputs_is_never_deleted(tmp_path: Path) -> None:
    """Two identical runs: the one that began first ends last."""
    early, late = (
        record("m", run_id=f"20260101T00000{n}.000Z-0000000{n}", run_key="k") for n in (1, 2)
    )  # fmt: skip
    (theirs,) = put(tmp_path, late)
    (ours,) = put(tmp_path, early)
    assert theirs.folder.is_dir()
    assert ours.folder.is_dir()
    (third,) = put(tmp_path, record("m", run_id="20260101T000009.000Z-00000009", run_key="k"))
    assert ids(stored_runs(tmp_path)) == [third.record.run_id]


def test_processes_that_store_the_same_run_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import pandas as pd; from fakes import record\n"
        "from layton_bench.records import new_run_id, store\n"
        "table = pd.DataFrame({'key': ['a'], 'psnr': [30.0]})\n"
        "for _ in range(5):\n"
        "    made = record('m', run_key='k', run_id=new_run_id())\n"
        "    store(Path(sys.argv[1]), made, table, lambda folder: ())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    kept = stored_runs(tmp_path)
    assert kept
    assert {run.record.run_key for run in kept} == {"k"}
    assert all(len(read_samples(run.folder, run.record)) == 1 for run in kept)
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_what_killed_runs_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from layton_bench.machine import temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'picture.png').write_bytes(b'x')\n"
        "    os._exit(9)\n"
    )
    for parent in (tmp_path, model_folder(tmp_path, "tiny-16", "killed")):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", script, str(parent)], env=environment, check=False)
    assert len(list(tmp_path.rglob("picture.png"))) == 2
    put(tmp_path, record("m"))
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_a_results_folder_that_cannot_be_locked_keeps_the_values(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        store(tmp_path / "out", record("m"), TABLE, lambda folder: ())
    assert caught.value.record.metrics["psnr"].value == 1.0
