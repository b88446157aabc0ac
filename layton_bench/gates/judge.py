"""Decide whether a run meets a gate. A failure is a readable table.

A loss against the baseline is judged by a one-sided paired test. The gate fails if the lower
confidence bound of the mean loss is above the allowed loss; a positive loss is worse. The bound is
one end of the interval in paired_means.py. The metrics of a gate share its confidence (Bonferroni).
The time of a benchmark is judged by the logarithm of the ratio of medians and a normal quantile.
Nothing is random, so the same runs always give the same verdict.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from layton_bench.compare import (
    check_comparable,
    compare,
    mean_difference,
    paired_table,
    paired_values,
    to_markdown,
)
from layton_bench.errors import NotComparableError, UserError
from layton_bench.gates.file import Bounds, Gate, NotWorse, TimeLimit
from layton_bench.records import StoredRun, read_record

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from layton_bench.metrics import Direction
    from layton_bench.records import MetricResult

_NEW_BASELINE = "Make a new baseline: pytest --layton-bench-update-baselines."
# The number of threads decides in which order sums are added. From one thread to two, the means of
# layton-tiny move by up to 3e-5 of the mean size of a sample's value.
_NOISE = 1e-4
HEADINGS = ("metric", "wanted", "baseline", "now", "loss, lower bound", "verdict")


class GateError(AssertionError):
    """A gate fails. The message is a table of all its conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One condition of a gate, and whether it is met."""

    cells: tuple[str, ...]
    is_met: bool


def judge(gate: Gate, run: StoredRun | None, folder: Path) -> list[Finding]:
    """Return the conditions of a gate, all of them met.

    Args:
        gate: the conditions.
        run: the run to judge; None for a throughput gate.
        folder: folder of the gates' file. Paths in the gate are relative to it.

    Raises:
        GateError: a condition is not met.
        UserError: the baseline cannot be read or compared, or a metric has no value.
    """
    if gate.throughput is not None:
        found = [_throughput(gate.throughput, folder)]
    else:
        assert run is not None
        found = [_bounds(run, name, bounds) for name, bounds in gate.bounds.items()]
        if gate.baseline is not None:
            found += _against_baseline(gate, run, folder / gate.baseline)
    if not all(finding.is_met for finding in found):
        raise GateError(_table(found))
    return found


def update_baseline(gate: Gate, run: StoredRun | None, folder: Path) -> str:
    """Replace the gate's baseline by ``run``. Return what changed, as Markdown."""
    if gate.baseline is None or run is None:
        return f"gate '{gate.name}' has no baseline run"
    target = folder / gate.baseline
    told = f"gate '{gate.name}': first baseline, run {run.record.run_id}"
    if target.is_dir():
        old = StoredRun(folder=target, record=read_record(target))
        try:
            told = to_markdown(compare(old, run))
        except NotComparableError as error:
            told = f"gate '{gate.name}': baseline replaced; not comparable: {error}"
        shutil.rmtree(target)
    # without pictures: a baseline is committed, and only its numbers are read
    shutil.copytree(run.folder, target, ignore=shutil.ignore_patterns("images", "*.png"))
    return told


class Loss(NamedTuple):
    """How much worse a metric is than before; positive is worse.

    Attributes:
        mean: mean loss over the samples.
        bound: one-sided lower confidence bound of the mean loss.
    """

    mean: float
    bound: float


def paired_loss(
    baseline: NDArray[np.float64],
    now: NDArray[np.float64],
    direction: Direction,
    confidence: float,
) -> Loss:
    """Return the loss of paired values, both float64 (n,), n ≥ 2.

    The best mean of a bias is 0. Its loss is the increase of the mean's distance from 0.
    """
    # one side of a two-sided interval
    found = mean_difference(baseline, now, direction, confidence=2 * confidence - 1)
    return Loss(-found.value, -found.high) if direction == "higher" else Loss(*found[:2])


def allowed_loss(by: float, baseline: NDArray[np.float64]) -> float:
    """The loss that is asked for, or where that is less what another number of threads may lose."""
    finite = [abs(float(value)) for value in baseline if math.isfinite(value)]  # not exact ones
    return max(by, _NOISE * sum(finite) / max(1, len(finite)))


def _bounds(run: StoredRun, name: str, bounds: Bounds) -> Finding:
    result = _valued(run, name)
    assert result.value is not None
    low = -math.inf if bounds.min is None else bounds.min
    high = math.inf if bounds.max is None else bounds.max
    parts = [f"≥ {low:g}"] if bounds.min is not None else []
    parts += [f"≤ {high:g}"] if bounds.max is not None else []
    is_met = low <= result.value <= high
    return Finding(
        cells=(name, " and ".join(parts), "", _number(result, result.value), "", _word(is_met)),
        is_met=is_met,
    )


def _against_baseline(gate: Gate, run: StoredRun, folder: Path) -> list[Finding]:
    if not folder.is_dir():
        raise UserError(
            f"baseline {folder}",
            "there is none yet",
            _NEW_BASELINE,
        )
    baseline = StoredRun(folder=folder, record=read_record(folder))
    check_comparable(baseline.record, run.record)
    table, share = paired_table(baseline, run), len(gate.not_worse)
    return [
        _not_worse(baseline, run, table, name, asked, share)
        for name, asked in gate.not_worse.items()
    ]


def _not_worse(
    baseline: StoredRun,
    run: StoredRun,
    table: pd.DataFrame,
    name: str,
    asked: NotWorse,
    share: int,
) -> Finding:
    before, after = _valued(baseline, name), _valued(run, name)
    try:
        pairs = paired_values(name, before, after, table)
    except NotComparableError as error:
        raise NotComparableError(error.thing, error.reason, _NEW_BASELINE) from None
    confidence = 1 - (1 - asked.confidence) / share
    loss = paired_loss(pairs.first, pairs.second, after.direction, confidence)
    allowed = allowed_loss(asked.by, pairs.first)
    is_met = loss.bound <= allowed
    cells = (
        name, f"loss ≤ {allowed:.3g} at {asked.confidence:g}", _number(before, before.value),
        _number(after, after.value), f"{loss.mean:+.4g}, {loss.bound:+.4g} (n={len(pairs.first)})",
        _word(is_met),
    )  # fmt: skip
    return Finding(cells=cells, is_met=is_met)


def _valued(run: StoredRun, name: str) -> MetricResult:
    result = run.record.metrics.get(name)
    if result is None or result.value is None:
        why = "it was not computed" if result is None else result.unavailable or result.note
        raise UserError(
            f"metric '{name}' of run {run.record.run_id}", why, "Remove the metric from the gate."
        )
    return result


def _throughput(asked: TimeLimit, folder: Path) -> Finding:
    now, before = (_timed(folder / file, asked.benchmark) for file in (asked.now, asked.baseline))
    ratio = now.median / before.median
    z = NormalDist().inv_cdf(asked.confidence)
    bound = ratio * math.exp(-z * math.hypot(now.error, before.error))
    is_met = bound <= asked.max_ratio
    cells = (
        asked.benchmark, f"time ≤ {asked.max_ratio:g} × baseline at {asked.confidence:g}",
        f"{before.median:.4g} s", f"{now.median:.4g} s", f"{ratio:.3f} ×, {bound:.3f} ×",
        _word(is_met),
    )  # fmt: skip
    return Finding(cells=cells, is_met=is_met)


class _Timed(NamedTuple):
    """The median seconds of a benchmark, and their relative standard error."""

    median: float
    error: float

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> Self:
        """Return what pytest-benchmark's statistics of the rounds say.

        For normal values, the standard error of the median is 1.2533 σ/√n, and σ = IQR/1.349.
        """
        median = float(stats["median"])
        deviation = float(stats["iqr"]) / 1.349
        return cls(median, 1.2533 * deviation / math.sqrt(float(stats["rounds"])) / median)


def _timed(path: Path, benchmark: str) -> _Timed:
    """Return a benchmark from a JSON file of pytest-benchmark."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
        names = {entry["fullname"]: _Timed.of(entry["stats"]) for entry in stored}
    except FileNotFoundError:
        raise UserError(
            str(path), "there is no such file", "Write it with pytest --benchmark-json FILE."
        ) from None
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise UserError(
            str(path),
            f"not pytest-benchmark's JSON ({error})",
            "Write it again.",
        ) from None
    if benchmark not in names:
        listed = ", ".join(sorted(names)) or "none"
        raise UserError(f"benchmark '{benchmark}'", f"{path} has {listed}", "Name one of them.")
    return names[benchmark]


def _number(result: MetricResult, value: float | None) -> str:
    return "" if value is None else f"{value:.{result.digits + 1}f}"


def _word(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


def _table(found: Sequence[Finding]) -> str:
    rows = [HEADINGS, *(finding.cells for finding in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
