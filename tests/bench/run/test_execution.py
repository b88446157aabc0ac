"""Whole runs over small pictures, from the command line to the record."""

import errno
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lab import Lab, picture
from lab_runs import comparable, psnr_by_hand, table
from PIL import Image
from places import SUPPORT

from layton_bench.datasets.protocols import canonical
from layton_bench.intervals import mean_interval
from layton_bench.records.results import stored_runs
from layton_bench.run.execution import run
from layton_bench.run.plan import RunOptions


def test_a_run_from_files_to_record(lab: Lab) -> None:
    outcome = lab.run("lab-half")
    assert outcome.code == 0
    (record,) = outcome.records
    assert record.status == "complete"
    assert (record.completeness.expected, record.completeness.effective) == (5, 5)
    values = [psnr_by_hand(number) for number in range(5)]
    frame = table(lab)
    assert list(frame.index) == [f"{i:03d}" for i in range(5)]
    np.testing.assert_allclose(frame["psnr"], values, rtol=1e-12)
    psnr = record.metrics["psnr"]
    assert psnr.value == pytest.approx(np.mean(values), rel=1e-12)
    assert psnr.n == 5
    assert (psnr.low, psnr.high) == pytest.approx(mean_interval(np.array(values)), rel=1e-12)
    assert psnr.signature.startswith("psnr|ref:lab|crop:canonical@1|px:64|")
    assert psnr.signature.endswith("|n:5|u8:round|v1")
    assert frame["failure"].isna().all()


def test_the_pictures_of_the_worst_and_best_are_kept(lab: Lab) -> None:
    (record,) = lab.run("lab-half").records
    order = sorted(range(5), key=psnr_by_hand)
    assert [image.key for image in record.images] == [f"{i:03d}" for i in (*order[:4], order[4])]
    folder = stored_runs(lab.bench.results)[0].folder / "images"
    saved = record.images[0]
    pixels = np.asarray(Image.open(folder / str(saved.reference)))
    np.testing.assert_array_equal(pixels, canonical(picture(order[0], (96, 80)), 64))


def test_two_runs_are_equal_bit_for_bit(lab: Lab) -> None:
    (first,) = lab.run("lab-noisy").records
    frame = table(lab)
    (second,) = lab.run("lab-noisy", more="--overwrite always").records
    assert first.run_id != second.run_id
    assert comparable(first) == comparable(second)
    pd.testing.assert_frame_equal(frame, table(lab), check_exact=True)


@pytest.mark.parametrize("more", ["--batch-size 1", "--batch-size 3", "--num-workers 1"])
def test_batches_and_workers_change_no_value(lab: Lab, more: str) -> None:
    (first,) = lab.run("lab-noisy").records
    (second,) = lab.run("lab-noisy", more=f"--overwrite always {more}").records
    assert comparable(first) == comparable(second)


DAMAGES = {
    "zero bytes": (lambda data: b"", "the file is empty (0 bytes)"),
    "truncated": (lambda data: data[: len(data) // 2], "truncated"),
    "no image": (lambda data: b"<html>not found</html>", "not an image in any known format"),
    "corrupt": (lambda data: data[:60] + bytes(40) + data[100:], "cannot be decoded"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_image_is_counted_listed_and_marked(lab: Lab, case: str) -> None:
    damage, reason = DAMAGES[case]
    path = lab.pictures / "002.png"
    path.write_bytes(damage(path.read_bytes()))
    outcome = lab.run("lab-half")
    assert outcome.code == 0
    (record,) = outcome.records
    (failure,) = record.completeness.failed
    assert (failure.key, failure.stage) == ("002", "read")
    assert reason in failure.reason
    assert (record.status, record.completeness.effective) == ("partial", 4)
    assert "Failed (read): 002: " in outcome.err
    assert "⚠ partial: 4 of 5 ⚠ 1 failed" in outcome.out
    leaderboard = (lab.bench.results / "lab-64" / "leaderboard.md").read_text()
    assert "⚠ partial: 4 of 5 ⚠ 1 failed" in leaderboard
    frame = table(lab)
    assert frame.loc["002", "failure"].startswith("read: ")
    assert np.isnan(frame.loc["002", "psnr"])
    np.testing.assert_allclose(
        frame["psnr"].drop("002"), [psnr_by_hand(i) for i in (0, 1, 3, 4)], rtol=1e-12
    )


@pytest.mark.parametrize("case", DAMAGES)
def test_strict_stops_at_a_damaged_image(lab: Lab, case: str) -> None:
    damage, reason = DAMAGES[case]
    path = lab.pictures / "002.png"
    path.write_bytes(damage(path.read_bytes()))
    outcome = lab.run("lab-half", more="--strict")
    assert (outcome.code, outcome.records, outcome.out) == (2, [], "")
    assert "sample '002': " in outcome.err
    assert reason in outcome.err


@pytest.mark.parametrize(
    ("model", "reason"),
    [("lab-nan", "returned NaN or infinite values"), ("lab-raises", "ArithmeticError: lost")],
)
def test_a_model_that_goes_wrong_is_named_with_the_sample(
    lab: Lab, model: str, reason: str
) -> None:
    lab.add_bad()
    outcome = lab.run(model)
    (record,) = outcome.records
    assert outcome.code == 0
    assert [(f.key, f.stage, f.reason) for f in record.completeness.failed] == [
        ("bad", "decode", reason)
    ]
    assert f"Failed (decode): bad: {reason}" in outcome.err
    (good,) = lab.run("lab-half", more="--overwrite always").records[1:]
    bad = table(lab, 0)
    pd.testing.assert_series_equal(bad["psnr"].drop("bad"), table(lab)["psnr"].drop("bad"))
    assert good.status == "complete"


def test_models_that_lost_other_samples_are_not_in_one_table(lab: Lab) -> None:
    lab.add_bad()
    outcome = lab.run("lab-half", "lab-nan")
    text = (lab.bench.results / "lab-64" / "leaderboard.md").read_text()
    assert [line.split(":")[1] for line in text.splitlines() if line.startswith("###")] == [
        " 6 images, canonical@1, rounding round, data " + outcome.records[0].data.fingerprint[:12],
        " 5 of 6 images, canonical@1, rounding round, data "
        + outcome.records[0].data.fingerprint[:12],
    ]


def test_a_run_without_one_usable_sample_is_no_run(lab: Lab) -> None:
    for path in lab.pictures.iterdir():
        path.write_bytes(b"")
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.records) == (2, [])
    assert "none of 5 samples could be used ('000', read: the file is empty" in outcome.err


def test_memory_that_runs_out_changes_no_value(lab: Lab) -> None:
    (greedy,) = lab.run("lab-greedy", more="--batch-size 5").records
    assert greedy.timing.batch_size == 2
    frame = table(lab)
    lab.run("lab-half")
    pd.testing.assert_frame_equal(frame, table(lab), check_exact=True)
    assert greedy.completeness.failed == ()


def test_a_metric_that_fails_costs_only_itself(lab: Lab) -> None:
    outcome = lab.run("lab-half", more="--metric lab-broken --metric psnr")
    (record,) = outcome.records
    assert outcome.code == 0
    assert record.metrics["lab-broken"].value is None
    assert record.metrics["lab-broken"].unavailable == "failed at '000': ArithmeticError: no area"
    assert record.metrics["psnr"].n == 5
    assert "metric 'lab-broken' failed at '000'" in outcome.err
    assert "Lab-Broken: unavailable: failed at '000'" in outcome.out


def test_ctrl_c_before_the_first_sample_leaves_no_record(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fakes import Scaled

    def press(self: Scaled, images: torch.Tensor) -> None:
        signal.raise_signal(signal.SIGINT)
        raise ArithmeticError("and lost")

    monkeypatch.setattr(Scaled, "encode", press)
    outcome = lab.run("lab-half", more="--batch-size 1")
    assert (outcome.code, outcome.records, outcome.out) == (130, [], "")


def test_an_output_folder_that_cannot_be_written_is_found_before_work(lab: Lab) -> None:
    lab.bench.results.write_text("in the way")
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert f"output folder {lab.bench.results}: cannot be written" in outcome.err
    assert "name another folder with --out" in outcome.err
    assert "lab-half on lab-64" not in outcome.err


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("target", ["to_parquet", "write_text", "fsync"])
def test_a_full_disk_leaves_nothing_and_shows_what_was_computed(
    lab: Lab, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = {"to_parquet": pd.DataFrame, "fsync": os}.get(target, Path)
    real = getattr(owner, target)

    def fill(first, *rest, **named):
        # only the run's own files: not what else the process writes
        is_ours = target in ("to_parquet", "fsync") or ".tmp-" in str(first)
        return full() if is_ours else real(first, *rest, **named)

    monkeypatch.setattr(owner, target, fill)
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.records) == (2, [])
    assert "cannot be written (No space left on device)" in outcome.err
    assert "Free some space" in outcome.err
    assert f"{np.mean([psnr_by_hand(i) for i in range(5)]):.2f}" in outcome.out
    model = lab.bench.results / "lab-64" / "lab-half"
    assert list(model.iterdir()) == []


@pytest.mark.parametrize("more", ["", "--keep-images"])
def test_pictures_do_not_crowd_out_the_record(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """A disk with room for the record and no picture: 4 KiB of pictures and it is full."""
    write = Path.write_bytes

    def fill(path: Path, data: bytes) -> int:
        if path.suffix == ".png":
            kept = sum(p.stat().st_size for p in lab.bench.results.rglob("*.png"))
            if kept + len(data) > 4096:
                full()
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    outcome = lab.run("lab-half", more=more)
    (record,) = outcome.records
    assert (outcome.code, record.status, record.images) == (0, "complete", ())
    assert record.metrics["psnr"].n == 5
    assert "the run is stored without its pictures: cannot be written (No space" in outcome.err
    assert list(lab.bench.results.rglob("*.png")) == []


def test_a_full_disk_at_the_leaderboard_keeps_the_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace",
        lambda self, to: full() if "leaderboard" in str(to) else replace(self, to),
    )  # fmt: skip
    outcome = lab.run("lab-half")
    assert (outcome.code, len(outcome.records)) == (2, 1)
    assert "leaderboard.md: cannot be written (No space left on device)" in outcome.err
    assert list(lab.bench.results.rglob(".tmp-*")) == []


def test_the_library_runs_without_a_command_line(lab: Lab) -> None:
    from layton_bench.registry.plugins import Plugins

    plugins = Plugins([str(SUPPORT / "lab_plugin.py")])
    options = RunOptions(out=lab.bench.results, data_root=lab.bench.data, device="cpu")
    go = partial(run, plugins, "lab-64", "lab-half", options)
    assert not go().is_reused
    assert go().is_reused
