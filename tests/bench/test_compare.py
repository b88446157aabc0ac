"""Two runs compared: differences by hand, verdicts, and what is never compared."""

import numpy as np
import pandas as pd
import pytest
from fakes import record, result
from lab import Lab

from layton_bench.compare import (
    check_comparable,
    compare,
    compare_metric,
    comparison_rows,
    holm,
    to_markdown,
)
from layton_bench.errors import NotComparableError
from layton_bench.results import stored_runs


def test_holms_adjustment_by_hand() -> None:
    # sorted: 0.01·3, max(0.03, 0.02·2), max(0.04, 0.5·1)
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


def paired(first: list[float], second: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"key": range(len(first)), "psnr_a": first, "psnr_b": second})


def difference(first: list[float], second: list[float], **changes: object):
    a, b = result(float(np.mean(first)), **changes), result(float(np.mean(second)), **changes)
    return compare_metric("psnr", a, b, paired(first, second), alpha=0.05, seed=0)


def test_a_difference_is_that_of_pairs() -> None:
    found = difference([20.0, 22.0, 24.0, 26.0], [21.0, 22.5, 25.5, 27.0])
    assert found.difference == pytest.approx(1.0)
    assert found.effect_size == pytest.approx(1.0 / np.std([1.0, 0.5, 1.5, 1.0], ddof=1))
    assert found.low is not None
    assert found.high is not None
    assert 0.5 <= found.low < 1.0 < found.high <= 1.5
    assert found.n == 4


def test_equal_runs_show_no_difference_whatever_the_seed() -> None:
    found = difference([20.0, 22.0, 24.0], [20.0, 22.0, 24.0])
    assert (found.difference, found.p_value, found.effect_size) == (0.0, 1.0, None)


def test_a_bias_is_compared_by_its_distance_from_zero() -> None:
    found = difference([-2.0, -2.2, -1.8], [1.0, 1.1, 0.9], direction="zero")
    assert found.difference == pytest.approx(-1.0)


def test_infinite_values_are_left_out_of_the_pairs() -> None:
    found = difference([20.0, np.inf, 24.0], [21.0, 22.0, 25.0])
    assert (found.n, found.difference) == (2, pytest.approx(1.0))
    lonely = difference([20.0, np.inf], [21.0, np.inf])
    assert lonely.verdict == "not comparable"
    assert lonely.note == "1 samples with finite values in both"


def test_signatures_that_differ_are_never_compared() -> None:
    a, b = result(1.0), result(2.0, signature="psnr|n:10|v2")
    found = compare_metric("psnr", a, b, paired([1.0], [2.0]), alpha=0.05, seed=0)
    assert (found.difference, found.verdict) == (None, "not comparable")
    assert found.note == "signatures differ: psnr|n:10|v1 and psnr|n:10|v2"


@pytest.mark.parametrize("what", ["data", "suite"])
def test_other_data_or_suites_are_refused(what: str) -> None:
    a = record("a")
    b = record("b", data="e" * 64) if what == "data" else record("b")
    if what == "suite":
        b = b.model_copy(update={"suite_digest": "0" * 64})
    with pytest.raises(NotComparableError, match=what):
        check_comparable(a, b)


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
    assert '"verdict": "worse"' in json_out.out
    assert lab.bench("compare", better, worse, *words, "--format", "md").out.startswith("### ")
