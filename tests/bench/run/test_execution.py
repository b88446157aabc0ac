"""Whole runs over small pictures, from the command line to the record."""

import dataclasses
import errno
import json
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lab import Lab, file_bytes, picture
from PIL import Image
from places import SUPPORT

from layton_bench.datasets.protocols import canonical
from layton_bench.images import to_signed, to_uint8
from layton_bench.intervals import mean_interval
from layton_bench.records.folder import SAMPLES, read_samples
from layton_bench.records.record import RunRecord
from layton_bench.records.results import stored_runs
from layton_bench.run.execution import RunOptions, run


def table(lab: Lab, index: int = -1) -> pd.DataFrame:
    stored = stored_runs(lab.bench.results)[index]
    return read_samples(stored.folder, stored.record).set_index("key")


def comparable(record: RunRecord) -> dict[str, object]:
    """What two runs of the same inputs must agree in."""
    left_out = {"run_id", "started", "timing", "command", "samples_digest", "digest"}
    held = record.model_dump(exclude=left_out)
    # somebody may commit to the checkout between two runs
    held["provenance"] = {k: v for k, v in held["provenance"].items() if "git" not in k}
    return held


def psnr_by_hand(number: int) -> float:
    reference = canonical(picture(number, (96, 80)), 64)
    images = to_signed(torch.from_numpy(reference.copy()).permute(2, 0, 1)[None]) * 0.5
    candidate = to_uint8(images, "round")[0].permute(1, 2, 0).numpy()
    error = ((reference.astype(float) - candidate.astype(float)) ** 2).mean()
    return float(10 * np.log10(255**2 / error))


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
    assert (psnr.low, psnr.high) == pytest.approx(mean_interval(values))
    assert psnr.signature.startswith("psnr|ref:lab|crop:canonical@1|px:64|")
    assert psnr.signature.endswith("|n:5|u8:round|v1")
    assert frame["failure"].isna().all()


def test_bits_are_those_of_the_codes(lab: Lab) -> None:
    (record,) = lab.run("lab-grey").records
    assert record.bits_per_image == 64 * 8
    assert list(table(lab)["bits"]) == [512.0] * 5
    assert record.metrics["codebook-usage"].value is not None
    assert record.not_applicable == ()


def test_a_metric_that_does_not_apply_is_named_and_not_missed(lab: Lab) -> None:
    (record,) = lab.run("lab-half").records
    assert record.not_applicable == ("codebook-usage",)
    assert "codebook-usage" not in record.metrics
    again = lab.run("lab-half")
    assert "lacks" not in again.err


def test_the_record_says_what_was_run(lab: Lab) -> None:
    outcome = lab.run("lab-gain", more="--set gain=0.25 --seed 3 --batch-size 2")
    (record,) = outcome.records
    assert record.command[:2] == ("layton-bench", "--plugin")
    assert record.command[-2:] == ("--batch-size", "2")
    assert (record.model.name, record.model.options) == ("lab-gain", {"gain": 0.25})
    assert record.model.changed_options == ("gain",)
    assert (record.seed, record.timing.batch_size) == (3, 2)
    assert record.suite.name == "lab-64"
    assert record.suite_digest == record.suite.digest()
    assert record.provenance.device == "cpu"
    times = record.timing
    parts = (
        times.load_seconds, times.encode_seconds, times.decode_seconds, times.metrics_seconds,
    )  # fmt: skip
    assert all(part > 0 for part in parts)
    assert sum(parts) <= times.total_seconds


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


def test_another_seed_is_another_run(lab: Lab) -> None:
    lab.run("lab-noisy")
    outcome = lab.run("lab-noisy", more="--seed 1")
    first, second = outcome.records
    assert first.run_key != second.run_key
    assert first.metrics["psnr"].value != second.metrics["psnr"].value


def test_a_run_that_exists_is_not_repeated(lab: Lab) -> None:
    first = lab.run("lab-half")
    again = lab.run("lab-half")
    assert again.records == first.records
    assert "this run exists already" in again.err
    assert first.out == again.out


@pytest.mark.parametrize(
    "more", ["--seed 2", "--dtype bfloat16", "--limit 4", "--set gain=0.75"], ids=str.split
)
def test_whatever_decides_the_values_is_another_run(lab: Lab, more: str) -> None:
    lab.run("lab-gain")
    assert len(lab.run("lab-gain", more=more).records) == 2


def test_other_data_is_another_run(lab: Lab) -> None:
    lab.run("lab-half")
    (lab.pictures / "002.png").write_bytes(file_bytes(picture(99, (96, 80))))
    first, second = lab.run("lab-half").records
    assert first.data.fingerprint != second.data.fingerprint


def test_only_missing_adds_metrics_as_a_fresh_run_would_have_them(lab: Lab) -> None:
    lab.run("lab-noisy", more="--metric psnr")
    never = lab.run("lab-noisy")
    assert "lacks level" in never.err
    assert "--overwrite only-missing computes them" in never.err
    assert list(never.records[0].metrics) == ["psnr"]
    (merged,) = lab.run("lab-noisy", more="--overwrite only-missing").records
    frame, images = table(lab), merged.images
    assert list(merged.metrics) == ["psnr", "level"]
    (fresh,) = lab.run("lab-noisy", more="--overwrite always").records
    assert comparable(merged) == comparable(fresh)
    pd.testing.assert_frame_equal(frame[sorted(frame)], table(lab)[sorted(frame)])
    assert images == fresh.images


def test_only_missing_keeps_the_pictures_of_the_first_pass(lab: Lab) -> None:
    lab.run("lab-half", more="--metric psnr")
    before = {p.name: p.read_bytes() for p in lab.bench.results.glob("*/*/*/images/*")}
    lab.run("lab-half", more="--overwrite only-missing")
    after = {p.name: p.read_bytes() for p in lab.bench.results.glob("*/*/*/images/*")}
    assert before == after
    assert len(after) == 10


def test_only_missing_does_nothing_where_nothing_can_be_added(lab: Lab) -> None:
    asked = "--metric psnr --metric lab-packaged"
    (first,) = lab.run("lab-half", more=asked).records
    assert first.metrics["lab-packaged"].unavailable == (
        "package 'no_such_package_here' is not installed; run pip install 'layton-bench[lab]'"
    )
    again = lab.run("lab-half", more=f"{asked} --overwrite only-missing")
    assert again.records == [first]
    assert "lacks" not in again.err


def test_only_missing_refuses_to_mix_samples(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run("lab-half", more="--metric psnr")
    from fakes import Scaled

    def fail(self, codes, seeds):
        raise ArithmeticError("lost")

    calls = iter([fail])
    decode = Scaled.decode
    monkeypatch.setattr(Scaled, "decode", lambda *a: next(calls, decode)(*a))
    outcome = lab.run("lab-half", more="--overwrite only-missing --batch-size 1")
    assert outcome.code == 2
    assert "other samples failed this time" in outcome.err
    assert list(outcome.records[0].metrics) == ["psnr"]


def test_limit_is_spread_evenly_and_marked_everywhere(lab: Lab) -> None:
    lab.add(5, start=5)
    outcome = lab.run("lab-half", more="--limit 4")
    (record,) = outcome.records
    assert list(table(lab).index) == ["000", "002", "005", "007"]
    assert record.status == "partial"
    done = record.completeness
    assert (done.expected, done.selected, done.effective, done.limit) == (10, 4, 4, 4)
    assert "partial: 4 of 10" in outcome.out
    assert "4 of 10 images" in outcome.out
    words = ("--out", lab.bench.results)
    assert "partial: 4 of 10" in lab.bench("leaderboard", *words).out
    assert "partial: 4 of 10" in lab.bench("list", "runs", *words).out
    assert "partial: 4 of 10" in lab.bench("show", "lab-half", *words).out
    (row, *_) = json.loads(lab.bench("leaderboard", *words, "--format", "json").out)
    assert (row["status"], row["n"], row["expected"]) == ("partial", 4, 10)
    assert record.metrics["psnr"].signature.split("|")[-3] == "n:4"


def test_a_limit_above_the_data_is_the_whole(lab: Lab) -> None:
    (record,) = lab.run("lab-half", more="--limit 99").records
    assert record.status == "complete"


def test_a_suite_that_counts_fewer_takes_them_evenly(lab: Lab, site) -> None:
    text = (SUPPORT / "lab-64.toml").read_text()
    (site.folder / "few.toml").write_text(text.replace("lab-64", "few-64") + "num_samples = 2\n")
    site.plugin(
        "few",
        """
        from pathlib import Path
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_suites(register):
            register(Path(__file__).with_name("few.toml"))
        """,
    )
    words = ["few-64" if word == "lab-64" else word for word in lab.words("lab-half")]
    (record,) = lab.bench(*words).records
    assert list(table(lab).index) == ["000", "002"]
    assert (record.status, record.completeness.missing) == ("complete", 0)


def test_a_data_set_that_lacks_samples_says_how_many(lab: Lab, site) -> None:
    text = (SUPPORT / "lab-64.toml").read_text()
    (site.folder / "many.toml").write_text(text.replace("lab-64", "many-64") + "num_samples = 9\n")
    site.plugin(
        "many",
        """
        from pathlib import Path
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_suites(register):
            register(Path(__file__).with_name("many.toml"))
        """,
    )
    words = ["many-64" if word == "lab-64" else word for word in lab.words("lab-half")]
    outcome = lab.bench(*words)
    (record,) = outcome.records
    assert (record.status, record.completeness.missing) == ("partial", 4)
    assert "partial: 5 of 9" in outcome.out
    shown = lab.bench("show", "lab-half", "--out", lab.bench.results).out
    assert "The data set lacks 4 samples of the suite." in shown


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


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("lab-broken", "it failed on the batch from '000' (ArithmeticError: no area)"),
        ("lab-packaged", "package 'no_such_package_here' is not installed"),
    ],
)
def test_strict_wants_every_metric(lab: Lab, metric: str, reason: str) -> None:
    outcome = lab.run("lab-half", more=f"--strict --metric {metric}")
    assert (outcome.code, outcome.records) == (2, [])
    assert reason in outcome.err


def test_images_with_the_same_content_are_listed(lab: Lab) -> None:
    (lab.pictures / "copy.png").write_bytes((lab.pictures / "001.png").read_bytes())
    (record,) = lab.run("lab-half").records
    assert record.completeness.duplicates == (("001", "copy"),)
    shown = lab.bench("show", "lab-half", "--out", lab.bench.results).out
    assert "Same content: 001, copy" in shown


def test_images_smaller_than_the_suite_are_counted(lab: Lab) -> None:
    (lab.pictures / "small.png").write_bytes(file_bytes(picture(7, (40, 90))))
    (record,) = lab.run("lab-half").records
    assert record.completeness.upscaled == 1


def test_files_that_differ_in_their_extension_alone_are_two_samples(lab: Lab) -> None:
    (lab.pictures / "000.jpg").write_bytes(file_bytes(picture(8, (96, 80)), "JPEG"))
    (record,) = lab.run("lab-half").records
    assert record.completeness.effective == 6
    assert {"000.jpg", "000.png"} <= set(table(lab).index)


def test_a_data_set_whose_keys_repeat_is_refused(lab: Lab, monkeypatch) -> None:
    from layton_bench.datasets.layouts.folder import FileDataset

    items = FileDataset.items
    monkeypatch.setattr(FileDataset, "items", lambda self: items(self)[:1] * 2)
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert "1 of its keys stand for several samples ('000', say)" in outcome.err


def test_no_images_at_all(lab: Lab) -> None:
    for path in lab.pictures.iterdir():
        path.unlink()
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert f"{lab.pictures}: there is no image below it" in outcome.err


def test_missing_data_says_where_it_is_expected(lab: Lab) -> None:
    outcome = lab.bench(*lab.words("lab-half"), "--data-root", lab.bench.data / "nowhere")
    assert outcome.code == 2
    expected = lab.bench.data / "nowhere" / "lab"
    assert outcome.err == f"Error: {expected}: there is no such folder.\nMake it.\n"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("lab-unloadable", "it failed to load (ImportError: no such kernel)"),
        ("lab-no-decoder", "what it loads is no tokenizer: a method is missing"),
        ("lab-at-32", "the model was made for 32 px, the suite has 64 px"),
        ("lab-draws", "the suite needs a tokenizer, the model is a generator"),
        ("lab-weighty", "there is none of that name"),
    ],
)
def test_a_model_that_cannot_run_says_why(lab: Lab, model: str, reason: str) -> None:
    outcome = lab.run(model)
    assert (outcome.code, outcome.records) == (2, [])
    assert reason in outcome.err


def test_the_adapter_is_recorded(lab: Lab) -> None:
    (record,) = lab.run("lab-at-32@32").records
    assert record.model.name == "lab-at-32@32"
    assert "behind a resize adapter: runs at 32 px" in record.model.card.notes


def test_a_loaders_own_advice_is_passed_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from layton_bench.errors import UserError
    from layton_bench.registry import plugins as plugin_manager

    def advise(context: object) -> None:
        raise UserError("the kernel", "it needs a GPU", "Use another machine.")

    real = plugin_manager.Plugins.model
    monkeypatch.setattr(
        plugin_manager.Plugins, "model",
        lambda self, name: dataclasses.replace(real(self, name), load=advise),
    )  # fmt: skip
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert outcome.err.endswith("Error: the kernel: it needs a GPU.\nUse another machine.\n")


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


def test_one_model_that_cannot_load_does_not_keep_the_others(lab: Lab) -> None:
    outcome = lab.run("lab-half", "lab-unloadable", "lab-grey")
    assert outcome.code == 2
    assert [record.model.name for record in outcome.records] == ["lab-half", "lab-grey"]
    assert "model 'lab-unloadable': it failed to load" in outcome.err


def test_a_slip_in_the_last_name_is_found_before_the_first_run(lab: Lab) -> None:
    outcome = lab.run("lab-half", "lab-gray")
    assert (outcome.code, outcome.records) == (2, [])
    assert "Did you mean lab-grey" in outcome.err


def test_an_output_folder_that_cannot_be_written_is_found_before_work(lab: Lab) -> None:
    lab.bench.results.write_text("in the way")
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert f"output folder {lab.bench.results}: cannot be written" in outcome.err
    assert "name another folder with --out" in outcome.err
    assert "lab-half on lab-64" not in outcome.err


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("target", ["to_parquet", "write_bytes", "write_text", "fsync"])
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


def test_a_full_disk_at_the_leaderboard_keeps_the_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layton_bench.leaderboard.formats.write_whole", lambda *_: full())
    outcome = lab.run("lab-half")
    assert (outcome.code, len(outcome.records)) == (2, 1)
    assert "leaderboard.md: cannot be written (No space left on device)" in outcome.err
    assert list(lab.bench.results.rglob(".leaderboard*")) == []


def test_a_truncated_table_is_refused(lab: Lab) -> None:
    lab.run("lab-half", more="--metric psnr")
    path = stored_runs(lab.bench.results)[0].folder / SAMPLES
    path.write_bytes(path.read_bytes()[:100])
    for words in (("show", "lab-half"),):
        outcome = lab.bench(*words, "--out", lab.bench.results)
        assert outcome.code == 2
        assert "samples.parquet: it does not match its digest" in outcome.err
    outcome = lab.run("lab-half", more="--overwrite only-missing")
    assert outcome.code == 2
    assert "samples.parquet: it does not match its digest" in outcome.err


def test_an_edited_record_is_named_and_the_run_is_made_again(lab: Lab) -> None:
    lab.run("lab-half")
    path = stored_runs(lab.bench.results)[0].folder / "record.json"
    raw = json.loads(path.read_text())
    raw["metrics"]["psnr"]["value"] = 99.0
    path.write_text(json.dumps(raw))
    outcome = lab.bench("leaderboard", "--out", lab.bench.results)
    assert "99" not in outcome.out
    assert "it does not match its digest" in outcome.err
    outcome = lab.run("lab-half")
    assert outcome.code == 0
    assert [r.metrics["psnr"].value for r in outcome.records] == [
        pytest.approx(np.mean([psnr_by_hand(i) for i in range(5)]))
    ]
    assert not path.exists()


def test_a_changed_version_is_told_when_passes_are_merged(lab: Lab, monkeypatch) -> None:
    lab.run("lab-half", more="--metric psnr")
    from layton_bench.machine import provenance

    monkeypatch.setattr(provenance, "_PACKAGES", ("torch",))
    outcome = lab.run("lab-half", more="--overwrite only-missing")
    assert "changed since its first metrics were computed: " in outcome.err
    assert "numpy" in outcome.err


def test_the_library_runs_without_a_command_line(lab: Lab) -> None:
    from layton_bench.registry.plugins import Plugins

    plugins = Plugins([str(SUPPORT / "lab_plugin.py")])
    options = RunOptions(out=lab.bench.results, data_root=lab.bench.data, device="cpu")
    go = partial(run, plugins, "lab-64", "lab-half", options)
    assert not go().is_reused
    assert go().is_reused


def test_what_a_data_set_says_of_itself_is_in_the_record(lab: Lab) -> None:
    (lab.pictures / "000.jpg").write_bytes(file_bytes(picture(9, (96, 80)), "JPEG"))
    outcome = lab.run("lab-half")
    (record,) = outcome.records
    assert record.data.notes == ("several files are named 000: each keeps its extension",)
    assert "several files are named 000" in outcome.err
    assert record.completeness.effective == 6
