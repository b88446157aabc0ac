import errno
import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from fakes import record, result

from layton_bench.errors import UserError
from layton_bench.records.folder import (
    RECORD,
    SAMPLES,
    _digest,
    new_run_folder,
    read_record,
    read_samples,
    write_record,
)
from layton_bench.records.results import stored_runs
from layton_bench.types import Failure

TABLE = pd.DataFrame({"key": ["a", "b"], "psnr": [30.25, 31.5], "failure": [None, None]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stored run."""
    final = tmp_path / "suite" / "model" / "run"
    with new_run_folder(final) as open_folder:
        write_record(open_folder, record(metrics={"psnr": result(30.875)}), TABLE)
    return final


def edit(folder: Path, change) -> None:
    raw = json.loads((folder / RECORD).read_text())
    change(raw)
    (folder / RECORD).write_text(json.dumps(raw))


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    made = record(
        metrics={"psnr": result(30.875, low=30.0, high=31.25), "fid": result(None, note="why")},
        completeness={"effective": 8, "failed": (Failure(key="x", stage="read", reason="cut"),),
                      "duplicates": (("a", "b"),)},
        options={"steps": 4, "strength": 0.5, "sampler": "euler"},
        card={"sizes_px": (256,), "notes": "é | <b>"},
    )  # fmt: skip
    written = write_record(tmp_path, made, TABLE)
    read = read_record(tmp_path)
    assert read == written
    assert read.model_copy(update={"samples_digest": "", "digest": ""}) == made
    pd.testing.assert_frame_equal(read_samples(tmp_path, read), TABLE)


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_infinite_value_survives_as_valid_json(tmp_path: Path, value: float) -> None:
    write_record(tmp_path, record(metrics={"psnr": result(value)}), TABLE)
    text = (tmp_path / RECORD).read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert read_record(tmp_path).metrics["psnr"].value == value


def test_the_digests_are_those_that_are_documented(folder: Path) -> None:
    raw = json.loads((folder / RECORD).read_text())
    assert raw["samples_digest"] == hashlib.sha256((folder / SAMPLES).read_bytes()).hexdigest()
    digest = raw.pop("digest")
    text = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    assert digest == hashlib.sha256(text.encode()).hexdigest()


def test_another_schema_version_is_refused_with_both_versions(folder: Path) -> None:
    edit(folder, lambda raw: raw.update(schema_version=7))
    with pytest.raises(UserError) as caught:
        read_record(folder)
    assert caught.value.reason == "it has schema version 7; this layton-bench reads versions 1 to 3"
    assert str(folder) in caught.value.remedy


@pytest.mark.parametrize("text", ["[]", "3", '{"a": 1}'])
def test_what_is_no_record_has_no_version(folder: Path, text: str) -> None:
    (folder / RECORD).write_text(text)
    with pytest.raises(UserError, match="it has schema version None"):
        read_record(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["metrics"]["psnr"].update(value=45.0),
        lambda raw: raw["completeness"].update(effective=9),
        lambda raw: raw.update(extra=1),
        lambda raw: raw.pop("seed"),
        lambda raw: raw.pop("digest"),
    ],
)
def test_an_edited_record_is_refused(folder: Path, change) -> None:
    edit(folder, change)
    with pytest.raises(UserError, match="it does not match its digest") as caught:
        read_record(folder)
    assert caught.value.remedy == f"It was edited or damaged: delete {folder} and run again."


def test_white_space_and_order_are_no_edits(folder: Path) -> None:
    before = read_record(folder)
    raw = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(dict(reversed(raw.items())), indent=7))
    assert read_record(folder) == before


def test_a_record_that_does_not_fit_the_schema_is_refused_by_field(folder: Path) -> None:
    def change(raw) -> None:
        raw["timing"]["batch_size"] = "many"
        raw.pop("digest")
        text = json.dumps(raw, sort_keys=True, separators=(",", ":"))
        raw["digest"] = hashlib.sha256(text.encode()).hexdigest()

    edit(folder, change)
    with pytest.raises(UserError, match=r"timing\.batch_size: Input should be a valid integer"):
        read_record(folder)


@pytest.mark.parametrize("keep", [0, 1, 200])
def test_a_truncated_record_is_refused(folder: Path, keep: int) -> None:
    (folder / RECORD).write_bytes((folder / RECORD).read_bytes()[:keep])
    with pytest.raises(UserError, match="not valid JSON"):
        read_record(folder)


def test_a_record_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / RECORD).write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="not valid JSON"):
        read_record(folder)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it has no record\.json"):
        read_record(tmp_path)


def test_a_record_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).mkdir()
    with pytest.raises(UserError, match="it is a folder, not a file"):
        read_record(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 500])
def test_a_truncated_table_is_refused(folder: Path, keep: int) -> None:
    (folder / SAMPLES).write_bytes((folder / SAMPLES).read_bytes()[:keep])
    with pytest.raises(UserError, match=r"samples\.parquet: it does not match its digest"):
        read_samples(folder, read_record(folder))


def test_another_runs_table_is_refused(folder: Path) -> None:
    TABLE.assign(psnr=45.0).to_parquet(folder / SAMPLES)
    with pytest.raises(UserError, match="it does not match its digest"):
        read_samples(folder, read_record(folder))


def test_a_missing_table_is_named(folder: Path) -> None:
    (folder / SAMPLES).unlink()
    with pytest.raises(UserError, match=r"samples\.parquet: cannot be read: No such file"):
        read_samples(folder, read_record(folder))


def test_nothing_is_there_before_the_end_and_nothing_else_after(tmp_path: Path) -> None:
    final = tmp_path / "suite" / "model" / "run"
    with new_run_folder(final) as open_folder:
        (open_folder / "file").write_text("x")
        assert not final.exists()
        assert open_folder.name.startswith(".tmp-")
    assert [p.name for p in final.parent.iterdir()] == ["run"]
    assert (final / "file").read_text() == "x"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_the_folder_has_the_users_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with new_run_folder(tmp_path / "run"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("error", [RuntimeError("fault"), KeyboardInterrupt()])
def test_a_block_that_raises_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), new_run_folder(tmp_path / "run") as open_folder:
        (open_folder / RECORD).write_text("{}")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(UserError) as caught, new_run_folder(tmp_path / "run") as open_folder:
        (open_folder / RECORD).write_text("{}")
        raise full
    assert str(caught.value) == (
        f"output folder {tmp_path / 'run'}: cannot be written (No space left on device). "
        "Free some space or name another folder with --out."
    )
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"), new_run_folder(tmp_path / "file/run"):
        pytest.fail("there is no folder to work in")


def rewrite(folder: Path, change) -> None:
    """Change a record and give it the digest that fits."""
    raw = json.loads((folder / RECORD).read_text())
    change(raw)
    raw["digest"] = _digest(raw)
    (folder / RECORD).write_text(json.dumps(raw))


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(bits_per_image=10**400),
        lambda raw: raw.update(seed=10**4000),
        lambda raw: raw["metrics"]["psnr"].update(value=10**400),
        lambda raw: raw["inputs"].update(deep=json.loads("[" * 300 + "]" * 300)),
        lambda raw: raw["completeness"].update(effective=-(10**300)),
    ],
)
def test_huge_and_deep_values_cost_that_record_at_most(
    tmp_path: Path, folder: Path, change
) -> None:
    good = tmp_path / "suite" / "model" / "good"
    with new_run_folder(good) as open_folder:
        write_record(open_folder, record(number=2), TABLE)
    rewrite(folder, change)
    kept = [run.folder for run in stored_runs(tmp_path)]
    assert good in kept
    assert len(kept) in (1, 2)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"seed": ' + "9" * 5000 + "}", "\udcff", "\0"]
)
def test_json_that_cannot_be_parsed_is_named(folder: Path, text: str) -> None:
    (folder / RECORD).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(folder)


def test_a_table_that_is_none_is_named(folder: Path) -> None:
    for data in (b"", b"PAR1 no table PAR1"):
        (folder / SAMPLES).write_bytes(data)
        made = read_record(folder).model_copy(
            update={"samples_digest": hashlib.sha256(data).hexdigest()}
        )
        with pytest.raises(UserError, match=r"samples\.parquet"):
            read_samples(folder, made)
    TABLE.drop(columns="key").to_parquet(folder / SAMPLES)
    digest = hashlib.sha256((folder / SAMPLES).read_bytes()).hexdigest()
    with pytest.raises(UserError, match="it has no column 'key'"):
        read_samples(folder, made.model_copy(update={"samples_digest": digest}))
