"""Verdicts by numbers; they do not flake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from fakes import record, result
from feature_sets import distances
from scipy import stats

from layton_bench.compare.pairing import paired_values
from layton_bench.errors import UserError
from layton_bench.gates.file import Gate, NotWorse, TimeLimit
from layton_bench.gates.judge import GateError, _throughput, allowed_loss, judge, paired_loss
from layton_bench.records.folder import write_record
from layton_bench.records.results import StoredRun, stored_runs

if TYPE_CHECKING:
    from lab import Lab


def test_the_bound_of_losses_without_skewness_is_students() -> None:
    losses, zeros = np.array([0.1, 0.3, 0.5, 0.7]), np.zeros(4)
    expected = stats.ttest_1samp(losses, 0.0).confidence_interval(0.9).low
    # the lower end of a two-sided 90 % interval is the one-sided bound at 95 %
    assert paired_loss(losses, zeros, "higher", 0.95).bound == pytest.approx(expected, rel=1e-9)
    assert paired_loss(zeros, losses, "lower", 0.95).bound == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("direction", "expected"), [("higher", -0.5), ("lower", 0.5)])
def test_a_loss_is_positive_where_worse(direction: str, expected: float) -> None:
    before, after = np.array([3.0, 1.0]), np.array([2.0, 3.0])
    assert paired_loss(before, after, direction, 0.95).mean == expected


def test_the_loss_of_a_bias_is_that_of_distances_from_zero() -> None:
    before, after = np.array([1.0, 3.0]), np.array([-5.0, -3.0])
    # |mean| goes from 2 to 4
    assert paired_loss(before, after, "zero", 0.95).mean == pytest.approx(2.0)


@pytest.mark.parametrize(("shape", "n"), [(1.0, 10), (-1.0, 10), (-1.0, 50)])
def test_skewed_losses_of_equal_models_seldom_fail_a_gate(shape: float, n: int) -> None:
    """At 95 %: few large losses among many small gains, and large gains among small losses."""
    rng = np.random.default_rng(2)
    zeros = np.zeros(n)
    failed = sum(
        paired_loss(zeros, shape * (rng.exponential(1.0, n) - 1), "lower", 0.95).bound > 0
        for _ in range(1000)
    )
    assert failed <= 0.09 * 1000  # by Student's bound 14 % for large gains at n = 10


SIZES = {"psnr": 21.4, "ssim": 0.54, "brightness": -0.76}
"""Of samples' values of layton-tiny."""
MOVED = {"psnr": 3e-5, "ssim": 8.3e-7, "brightness": 2e-5}
"""By which one thread more moves their means."""


@pytest.mark.parametrize("name", SIZES)
def test_what_threads_move_fails_no_gate_and_a_little_more_does(tmp_path: Path, name: str) -> None:
    values = SIZES[name] * np.random.default_rng(0).uniform(0.8, 1.2, 12)
    direction = "zero" if name == "brightness" else "higher"

    def run(folder: str, values: np.ndarray) -> StoredRun:
        (tmp_path / folder).mkdir()
        value = result(float(values.mean()), direction=direction)
        table = pd.DataFrame({"key": [f"{i:02}" for i in range(12)], name: values})
        made = write_record(tmp_path / folder, record(metrics={name: value}), table)
        return StoredRun(folder=tmp_path / folder, record=made)

    run("before", values)
    gate = Gate(name="g", suite="s", model="m", baseline="before", not_worse={name: NotWorse()})
    noise = -MOVED[name] * np.random.default_rng(1).uniform(0.9, 1.1, 12)
    (found,) = judge(gate, run("other threads", values + noise), tmp_path)
    assert found.is_met
    with pytest.raises(GateError, match="NOT MET"):
        judge(gate, run("worse", values + 150 * noise), tmp_path)


def simulated(rng: np.random.Generator, n: int, factor: float) -> float:
    """Bound of the loss of a model whose decoder draws noise, made worse by a factor."""
    quality = rng.normal(0.6, 0.1, n)
    before = quality + rng.normal(0, 0.03, n)
    after = factor * quality + rng.normal(0, 0.03, n)
    return paired_loss(before, after, "higher", 0.998).bound


def test_gates_do_not_flake_and_do_see() -> None:
    rng = np.random.default_rng(0)
    passed = sum(simulated(rng, 500, 1.0) <= 0 for _ in range(2000))
    caught = sum(simulated(rng, 500, 0.97) > 0 for _ in range(2000))
    assert passed >= 0.995 * 2000
    assert caught >= 0.95 * 2000


def test_gates_of_sets_do_not_flake_and_do_see() -> None:
    """FID by influences, n = 500: equal decoders, and one whose noise has grown by a third."""
    rng = np.random.default_rng(0)

    def is_met(noise: tuple[float, float]) -> bool:
        a, b, table = distances(rng, noise, 500)
        pairs = paired_values("fid", a, b, table)
        return paired_loss(pairs.first, pairs.second, "lower", 0.998).bound <= 0

    assert sum(is_met((0.5, 0.5)) for _ in range(400)) >= 0.995 * 400
    assert sum(not is_met((0.5, 0.66)) for _ in range(200)) >= 0.95 * 200


def stored(path: Path, median: float, *, iqr: float = 0.0, rounds: int = 20) -> Path:
    stats = {"median": median, "iqr": iqr, "rounds": rounds}
    entry = {"fullname": "benchmarks/b.py::test_x", "stats": stats}
    path.write_text(json.dumps({"benchmarks": [entry]}), encoding="utf-8")
    return path


ASKED = TimeLimit(now="now.json", baseline="old.json", benchmark="benchmarks/b.py::test_x")


def test_throughput_is_the_ratio_of_stored_medians(tmp_path: Path) -> None:
    stored(tmp_path / "now.json", 0.33)
    stored(tmp_path / "old.json", 0.30)
    found = _throughput(ASKED, tmp_path)
    assert (found.is_met, found.cells[4]) == (True, "1.100 ×, 1.100 ×")
    assert not _throughput(ASKED.model_copy(update={"max_ratio": 1.05}), tmp_path).is_met
    with pytest.raises(UserError, match=r"benchmarks/b\.py::test_x"):
        _throughput(ASKED.model_copy(update={"benchmark": "other"}), tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        _throughput(ASKED.model_copy(update={"now": "none.json"}), tmp_path)


def test_a_noisy_benchmark_fails_only_where_it_is_shown_to_be_slower(tmp_path: Path) -> None:
    stored(tmp_path / "old.json", 0.30, iqr=0.03)
    stored(tmp_path / "now.json", 0.34, iqr=0.03)
    found = _throughput(ASKED, tmp_path)
    # ratio 1.1333; relative errors 1.2533 · 0.03/1.349/√20 / 0.30 and / 0.34; z = 2.878
    assert found.cells[4] == "1.133 ×, 1.046 ×"
    assert found.is_met
    stored(tmp_path / "now.json", 0.40, iqr=0.03)
    assert not _throughput(ASKED, tmp_path).is_met


def test_half_a_table_is_no_baseline(lab: Lab) -> None:
    lab.run("lab-half")
    (made,) = stored_runs(lab.bench.results)
    gate = Gate(name="a", suite="lab-64", model="lab-half", baseline="base",
                not_worse={"psnr": NotWorse()})  # fmt: skip
    shutil.copytree(made.folder, lab.bench.data / "base")
    assert judge(gate, made, lab.bench.data)[0].is_met
    table = lab.bench.data / "base" / "samples.parquet"
    table.write_bytes(table.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"samples\.parquet: it does not match its digest"):
        judge(gate, made, lab.bench.data)


def test_a_fall_from_exact_is_a_loss_beyond_every_bound() -> None:
    exact, spoilt = np.full(14, np.inf), np.full(14, 5.0)
    assert paired_loss(exact, spoilt, "higher", 0.95).bound == np.inf
    assert paired_loss(spoilt, exact, "higher", 0.95).bound == -np.inf
    assert paired_loss(exact, exact, "higher", 0.95).bound == 0.0
    assert allowed_loss(0.1, exact) == 0.1  # infinite values allow no infinite loss
    finite = allowed_loss(0.0, np.array([40.0]))
    assert allowed_loss(0.0, np.array([np.inf, 40.0])) == pytest.approx(finite)
