"""Two runs compared: differences by hand, verdicts, and what is never compared."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import result
from feature_sets import distances
from lab import Lab
from scipy import stats
from sheet_cases import run_of

from layton_bench.compare.as_markdown import comparison_rows, to_markdown
from layton_bench.compare.differences import compare, compare_metric, holm
from layton_bench.compare.paired_means import mean_difference
from layton_bench.compare.pairing import paired_values
from layton_bench.records.folder import RECORD, SAMPLES
from layton_bench.records.results import stored_runs
from layton_bench.records.versions import SCHEMA_VERSION


def test_holms_adjustment_by_hand() -> None:
    # sorted: 0.01·3, max(0.03, 0.02·2), max(0.04, 0.5·1)
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


def paired(first: list[float], second: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"key": range(len(first)), "psnr_a": first, "psnr_b": second})


def difference(first: list[float], second: list[float], **changes: object):
    a, b = result(float(np.mean(first)), **changes), result(float(np.mean(second)), **changes)
    return compare_metric("psnr", a, b, paired(first, second), alpha=0.05)


def test_a_difference_is_that_of_pairs() -> None:
    found = difference([20.0, 22.0, 24.0, 26.0], [21.0, 22.5, 25.5, 27.0])
    assert found.difference == pytest.approx(1.0)
    assert found.effect_size == pytest.approx(1.0 / np.std([1.0, 0.5, 1.5, 1.0], ddof=1))
    assert found.low is not None
    assert found.high is not None
    ends = stats.ttest_rel([21.0, 22.5, 25.5, 27.0], [20.0, 22.0, 24.0, 26.0])
    assert (found.low, found.high) == pytest.approx(tuple(ends.confidence_interval()))
    assert found.p_value == pytest.approx(ends.pvalue)
    assert found.n == 4


DIFFERENCES = {
    "normal": lambda rng, n: rng.normal(0, 4, n),
    "exponential": lambda rng, n: rng.exponential(1, n) - 1,
    "lost sometimes": lambda rng, n: 1 - rng.exponential(1, n),
    "of exponential values": lambda rng, n: rng.exponential(1, n) - rng.exponential(1, n),
}


@pytest.mark.parametrize("shape", DIFFERENCES)
@pytest.mark.parametrize("n", [10, 50])
def test_equal_models_are_told_apart_as_seldom_as_alpha_says(n: int, shape: str) -> None:
    """4,000 seeded pairs, so the rate is good to 0.4 %; docs/intervals.md has more of them."""
    rng = np.random.default_rng(5)
    rejected = 0
    for _ in range(4000):
        first = rng.normal(25, 3, n)
        second = first + DIFFERENCES[shape](rng, n)
        rejected += mean_difference(first, second, "higher").p_value <= 0.05
    assert rejected / 4000 <= 0.06


def test_equal_runs_show_no_difference_whatever_the_seed() -> None:
    found = difference([20.0, 22.0, 24.0], [20.0, 22.0, 24.0])
    assert (found.difference, found.p_value, found.effect_size) == (0.0, 1.0, None)


def test_a_bias_is_compared_by_its_distance_from_zero() -> None:
    found = difference([-2.0, -2.2, -1.8], [1.0, 1.1, 0.9], direction="zero")
    assert found.difference == pytest.approx(-1.0)


INF = np.inf


def test_a_fall_from_exact_is_an_infinite_loss_that_a_sign_test_judges() -> None:
    found = difference([INF] * 6 + [20.0, 21.0], [30.0] * 6 + [20.0, 21.0])
    assert (found.n, found.difference, found.effect_size) == (8, -INF, None)
    assert found.p_value == pytest.approx(2 * 0.5**6)
    assert (found.low, found.high) == (-INF, -INF)
    assert found.note == (
        "6 of 8 differences are infinite (exact in one run), so a sign test compares 0 samples"
        " that rose with 6 that fell"
    )


def test_few_infinite_differences_show_nothing_but_are_counted() -> None:
    found = difference([20.0, INF, 24.0], [21.0, 22.0, 25.0])
    assert (found.difference, found.low, found.high) == (-INF, -INF, INF)
    assert found.p_value == 1.0  # two rose and one fell
    assert found.note.startswith("1 of 3 differences are infinite")


def test_samples_exact_in_both_runs_have_the_difference_0() -> None:
    found = difference([20.0, INF, 22.0], [21.0, INF, 22.5])
    assert (found.n, found.difference) == (3, pytest.approx(0.5))
    ends = stats.ttest_1samp([1.0, 0.0, 0.5], 0).pvalue
    assert found.p_value == pytest.approx(ends)
    assert found.note == "1 of 3 samples are exact in both: their difference is 0"


def test_infinite_differences_of_both_signs_have_no_mean() -> None:
    found = difference([INF, 20.0, 21.0], [20.0, INF, 21.5])
    assert np.isnan(found.difference)
    assert found.p_value == 1.0


def test_samples_without_a_value_are_left_out_and_counted() -> None:
    found = difference([20.0, np.nan, 24.0], [21.0, 22.0, 25.0])
    assert (found.n, found.difference) == (2, pytest.approx(1.0))
    assert found.note == "1 samples have no value in one run"
    lonely = difference([20.0, np.nan], [21.0, 22.0])
    assert lonely.verdict == "not comparable"
    assert lonely.note == "1 samples have values in both"


def test_a_fall_from_exact_is_worse_and_the_first_to_be_shown(tmp_path: Path) -> None:
    keys = [f"k{i}" for i in range(16)]
    exact = dict.fromkeys(keys, INF) | {"k3": 20.0, "k9": 21.0}
    spoilt = dict.fromkeys(keys, 5.0) | {"k3": 20.0, "k9": 21.0}
    runs = [
        run_of(tmp_path, number, {}, values) for number, values in ((1, exact), (2, spoilt))
    ]  # fmt: skip
    found = compare(*runs)
    assert [d.verdict for d in found.differences] == ["worse"]
    assert found.is_regression
    assert set(found.moved["change"]) == {-INF}
    assert not compare(*reversed(runs)).is_regression
    assert [d.verdict for d in compare(*reversed(runs)).differences] == ["better"]
    assert "| PSNR ↑ | inf | 6.94 | -inf |  |" in to_markdown(found)


def test_signatures_that_differ_are_never_compared() -> None:
    a, b = result(1.0), result(2.0, signature="psnr|n:10|v2")
    found = compare_metric("psnr", a, b, paired([1.0], [2.0]), alpha=0.05)
    assert (found.difference, found.verdict) == (None, "not comparable")
    assert found.note == "signatures differ: psnr|n:10|v1 and psnr|n:10|v2"


def test_a_real_difference_is_found_and_told(lab: Lab) -> None:
    lab.add(7, start=5)
    assert lab.run("lab-gain", more="--set gain=0.95").code == 0
    assert lab.run("lab-gain", more="--set gain=0.9").code == 0
    better, worse = stored_runs(lab.bench.results)
    comparison = compare(better, worse)
    by_name = {d.name: d for d in comparison.differences}
    assert by_name["psnr"].verdict == "worse"
    assert by_name["psnr"].difference == pytest.approx(
        worse.record.metrics["psnr"].value - better.record.metrics["psnr"].value
    )
    assert comparison.is_regression
    assert not compare(worse, better).is_regression
    assert len(comparison.moved) == 10
    # losses first, the greatest on top
    assert comparison.moved["change"].tolist() == sorted(comparison.moved["change"])
    headings, rows = comparison_rows(comparison)
    assert len(headings) == len(rows[0])
    text = to_markdown(comparison)
    assert "| PSNR ↑ |" in text
    assert "worse |" in text


def test_the_exit_code_says_what_was_found(lab: Lab) -> None:
    lab.add(7, start=5)
    lab.run("lab-gain", more="--set gain=0.95")
    lab.run("lab-gain", more="--set gain=0.9")
    better, worse = (run.record.run_id for run in stored_runs(lab.bench.results))
    words = ("--out", lab.bench.results)
    assert lab.bench("compare", better, worse, *words).code == 1
    same = lab.bench("compare", better, better, *words)
    assert same.code == 0
    assert "no difference shown" in same.out
    assert lab.bench("compare", better, "nothing", *words).code == 2
    lab.run("lab-half", more="--limit 3")
    partial = lab.bench("compare", better, "lab-half", *words)
    assert partial.code == 3
    assert "data contents" in partial.err
    json_out = lab.bench("compare", better, worse, *words, "--format", "json")
    assert json.loads(json_out.out)[0]["verdict"] == "worse"
    assert lab.bench("compare", better, worse, *words, "--format", "md").out.startswith("### ")


def test_a_metric_of_one_run_alone_is_named(lab: Lab) -> None:
    lab.run("lab-half", more="--metric psnr --metric level")
    lab.run("lab-grey", more="--metric psnr --metric codebook-usage")
    found = compare(*stored_runs(lab.bench.results)).differences
    assert [(d.name, d.verdict == "not comparable", d.note) for d in found] == [
        ("psnr", False, ""), ("level", True, "only run A has it"),
        ("codebook-usage", True, "only run B has it"),
    ]  # fmt: skip
    assert (found[1].now, found[2].baseline) == (None, None)


# metrics of sets


def test_a_set_metrics_pairs_average_to_its_values() -> None:
    a, b, table = distances(np.random.default_rng(0), (0.5, 0.6), 80)
    pairs = paired_values("fid", a, b, table)
    first, second = pairs.first, pairs.second
    assert pairs.is_linear
    assert (first.mean(), second.mean()) == pytest.approx((a.value, b.value))
    found = compare_metric("fid", a, b, table, alpha=0.05)
    assert found.difference == pytest.approx(b.value - a.value)
    assert found.effect_size == pytest.approx(found.difference / (second - first).std(ddof=1))
    assert found.low < found.difference < found.high
    assert (found.n, found.note) == (80, "compared by the influence of each sample")


def test_a_set_metric_without_influences_is_not_compared() -> None:
    a, b = result(1.0, signature="fid"), result(2.0, signature="fid")
    found = compare_metric("fid", a, b, pd.DataFrame({"key": ["a"]}), alpha=0.05)
    assert (found.difference, found.verdict) == (None, "not comparable")
    assert found.note == "it is a metric of the whole set, and the runs hold no influences"


def verdicts(noise: tuple[float, float], count: int, n: int = 200) -> tuple[float, float]:
    """Shares of simulated pairs that are told apart, and whose intervals hold the mean."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        a, b, table = distances(rng, noise, n)
        found.append(compare_metric("fid", a, b, table, alpha=0.05))
    truth = np.mean([d.difference for d in found])
    covers = np.mean([d.low <= truth <= d.high for d in found])
    return float(np.mean([d.p_value <= 0.05 for d in found])), float(covers)


def test_equal_decoders_are_rarely_told_apart_and_unequal_ones_are() -> None:
    """Rates near 5 % have a standard error of 2 % here; more cases: docs/compare.md."""
    rejected, covers = verdicts((0.5, 0.5), 120)
    assert rejected <= 0.08
    assert covers >= 0.91
    rejected, covers = verdicts((0.5, 0.7), 120)
    assert rejected >= 0.95
    assert covers >= 0.91


def test_a_run_holds_what_comparing_sets_needs(lab: Lab) -> None:
    lab.add(7, start=5)
    more = "--metric psnr --metric lab-fd"
    lab.run("lab-gain", more=f"--set gain=0.95 {more}")
    lab.run("lab-gain", more=f"--set gain=0.9 {more}")
    better, worse = stored_runs(lab.bench.results)
    found = {d.name: d for d in compare(better, worse).differences}["lab-fd"]
    assert found.difference == pytest.approx(
        worse.record.metrics["lab-fd"].value - better.record.metrics["lab-fd"].value
    )
    assert (found.verdict, found.n) == ("worse", 12)
    shown = lab.bench("show", better.record.run_id, "--out", lab.bench.results)
    assert "influence" not in shown.out


# what is never compared silently


def test_what_was_damaged_edited_or_written_by_another_version_is_refused(lab: Lab) -> None:
    lab.run("lab-half", "lab-grey")
    first, second = stored_runs(lab.bench.results)
    words = ("compare", first.folder, second.folder)
    assert lab.bench(*words).code in (0, 1)
    table, whole = second.folder / SAMPLES, (second.folder / SAMPLES).read_bytes()
    table.write_bytes(whole[:-100])
    cut = lab.bench(*words)
    assert (cut.code, "it does not match its digest" in cut.err) == (2, True)
    table.write_bytes(whole)
    path = second.folder / RECORD
    text = path.read_text("utf-8")
    path.write_text(text.replace('"value": ', '"value": 1', 1), "utf-8")
    edited = lab.bench(*words)
    assert (edited.code, "it does not match its digest" in edited.err) == (2, True)
    path.write_text(
        text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99', 1), "utf-8"
    )
    newer = lab.bench(*words)
    assert newer.code == 2
    assert f"schema version 99; this layton-bench reads versions 1 to {SCHEMA_VERSION}" in newer.err


# metrics that are no plain mean over samples


def test_both_runs_are_named_with_their_settings(lab: Lab) -> None:
    lab.add(3, start=5)
    lab.run("lab-gain")
    lab.run("lab-gain", more="--set gain=0.9")
    first, second = stored_runs(lab.bench.results)
    words = ("compare", "lab-gain", second.folder, "--out", lab.bench.results)
    lines = [
        f"A: lab-gain, run {first.record.run_id} (gain=0.5, float32, seed 0)",
        f"B: lab-gain (gain=0.9), run {second.record.run_id} (gain=0.9, float32, seed 0)",
    ]
    table = lab.bench(*words)
    assert table.out.splitlines()[:2] == lines  # the name took the run with default options
    told = lab.bench(*words, "--format", "json")
    assert [line in told.err for line in lines] == [True, True]
    shown = lab.bench(*words, "--format", "md").out
    assert all(f"run {run.record.run_id}" in shown for run in (first, second))
    lab.run("lab-gain", more="--set gain=0.8 --seed 1")
    mixed = lab.bench("compare", first.folder, "--out", lab.bench.results,
                      stored_runs(lab.bench.results)[-1].folder)  # fmt: skip
    assert mixed.code == 3
    assert "they differ in gain (0.5 and 0.8) and in seed (0 and 1)" in mixed.err
