"""Compare two runs of one suite: is B better, worse, or is no difference shown?

For each metric, d = B − A is the difference of a sample. paired_means.py gives the interval of the
mean of d, and the two-sided p-value of the hypothesis that the mean is 0. Holm's step-down method
(Holm 1979) corrects the p-values for the number of metrics. The effect size is mean d / sd d.
Metrics of whole sets (FID …) are compared by the influence of each sample, see pairing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from layton_bench.compare.paired_means import mean_difference, paired_differences
from layton_bench.compare.pairing import (
    Pairs,
    check_comparable,
    has_sample_values,
    paired_table,
    paired_values,
)
from layton_bench.errors import NotComparableError
from layton_bench.metrics import Direction, badness
from layton_bench.records import MetricResult, RunRecord, StoredRun, mixed_settings

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["better", "worse", "no difference shown", "not comparable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of one metric between two runs.

    Attributes:
        name: the metric.
        label: its label in tables.
        direction: which way is better.
        digits: number of decimals shown.
        baseline, now: values of A and B.
        difference: B − A over the samples of both runs; None if not comparable.
        low, high: interval of the difference, at confidence 1 − alpha.
        effect_size: mean difference / standard deviation of the differences.
        p_value: two-sided, corrected for the number of metrics.
        n: number of samples compared; of prompts, if each prompt has several images.
        verdict: at significance alpha.
        note: why it is not comparable, or how it was compared.
    """

    name: str
    label: str
    direction: Direction
    digits: int
    baseline: float | None
    now: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    effect_size: float | None = None
    p_value: float | None = None
    n: int = 0
    verdict: Verdict = "not comparable"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs and their differences.

    Attributes:
        baseline, now: runs A and B.
        differences: one per metric of A or B, in A's order.
        moved: samples that changed most, largest losses first: columns key, baseline, now, change.
        moved_metric: the metric of ``moved``.
    """

    baseline: RunRecord
    now: RunRecord
    differences: tuple[Difference, ...]
    moved: pd.DataFrame
    moved_metric: str | None

    @property
    def is_regression(self) -> bool:
        """Whether any metric is shown to be worse."""
        return any(d.verdict == "worse" for d in self.differences)


def compare(
    baseline: StoredRun,
    now: StoredRun,
    *,
    alpha: float = 0.05,
    num_moved: int = 10,
) -> Comparison:
    """Compare run ``now`` (B) with run ``baseline`` (A).

    Raises:
        NotComparableError: suite, protocol or data differ, several settings differ, or no metric
            can be compared.
    """
    a, b = baseline.record, now.record
    check_comparable(a, b)
    if (mixed := mixed_settings(a, b)) is not None:
        raise NotComparableError(
            f"runs {a.run_id} and {b.run_id}",
            f"{mixed}, so a difference would have several causes",
            "Name two runs that differ in one of them: `layton-bench list runs` lists all runs.",
        )
    paired = paired_table(baseline, now)
    raw = [
        compare_metric(name, a.metrics[name], b.metrics[name], paired, alpha=alpha)
        if name in a.metrics and name in b.metrics
        else _of_one(a.metrics.get(name), b.metrics.get(name), name)
        for name in dict.fromkeys((*a.metrics, *b.metrics))
    ]
    if not any(d.difference is not None for d in raw):
        raise NotComparableError(
            f"runs {a.run_id} and {b.run_id}",
            "no metric has the same signature in both and can be compared",
            "Run both with the same version, suite and metrics.",
        )
    differences = tuple(_with_verdicts(raw, alpha))
    metric = next((d for d in differences if has_sample_values(d.name, paired)), None)
    return Comparison(
        baseline=a,
        now=b,
        differences=differences,
        moved=_moved(paired, metric, num_moved),
        moved_metric=metric.name if metric else None,
    )


def _of_one(a: MetricResult | None, b: MetricResult | None, name: str) -> Difference:
    """Return the row of a metric that only one run has."""
    result = a or b
    assert result is not None
    return Difference(
        name=name, label=result.label, direction=result.direction, digits=result.digits,
        baseline=a.value if a else None, now=b.value if b else None,
        note=f"only run {'A' if a else 'B'} has it",
    )  # fmt: skip


def compare_metric(
    name: str,
    a: MetricResult,
    b: MetricResult,
    paired: pd.DataFrame,
    *,
    alpha: float,
) -> Difference:
    """Return one metric's difference. Its p-value is not yet corrected."""
    base = Difference(
        name=name, label=a.label, direction=a.direction, digits=a.digits,
        baseline=a.value, now=b.value,
    )  # fmt: skip
    try:
        pairs = paired_values(name, a, b, paired)
    except NotComparableError as error:
        return replace(base, note=error.reason)
    found = mean_difference(pairs.first, pairs.second, base.direction, confidence=1 - alpha)
    return replace(
        base, difference=found.value, low=found.low, high=found.high, p_value=found.p_value,
        n=len(pairs.first), effect_size=_effect_size(pairs), note=_note(pairs, base.direction),
    )  # fmt: skip


def _effect_size(pairs: Pairs) -> float | None:
    differences = paired_differences(pairs.first, pairs.second, "none")
    if not np.isfinite(differences).all():
        return None
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > 0 else None


def _note(pairs: Pairs, direction: Direction) -> str:
    """Return how the pairs were compared, and which of them have no finite difference."""
    n, parts = len(pairs.first), []
    if pairs.is_linear:
        parts.append("compared by the influence of each sample")
    if pairs.num_undefined:
        parts.append(f"{pairs.num_undefined:,} samples have no value in one run")
    differences = paired_differences(pairs.first, pairs.second, direction)
    num_infinite = int(np.isinf(differences).sum())
    if num_infinite:
        num_up, num_down = int((differences > 0).sum()), int((differences < 0).sum())
        parts.append(
            f"{num_infinite:,} of {n:,} differences are infinite (exact in one run),"
            f" so a sign test compares {num_up:,} samples that rose with {num_down:,} that fell"
        )
    num_exact = int((np.isinf(pairs.first) & (pairs.first == pairs.second)).sum())
    if num_exact:
        parts.append(f"{num_exact:,} of {n:,} samples are exact in both: their difference is 0")
    return "; ".join(parts)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values in the order given (Holm 1979)."""
    count = len(p_values)
    adjusted = [0.0] * count
    running = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _with_verdicts(raw: Sequence[Difference], alpha: float) -> list[Difference]:
    tested = [d for d in raw if d.p_value is not None and d.direction != "none"]
    adjusted = dict(
        zip((d.name for d in tested), holm([d.p_value or 0.0 for d in tested]), strict=True)
    )
    return [_judge(d, adjusted.get(d.name), alpha) for d in raw]


def _judge(difference: Difference, p_value: float | None, alpha: float) -> Difference:
    if difference.difference is None:
        return difference
    if p_value is None:
        return replace(difference, p_value=None, verdict="no difference shown")
    if p_value > alpha:
        return replace(difference, p_value=p_value, verdict="no difference shown")
    # the difference of a bias is already one of distances from 0
    direction: Direction = "lower" if difference.direction == "zero" else difference.direction
    assert difference.low is not None
    is_better = badness(difference.low, direction) < 0  # both ends are on one side of 0
    return replace(difference, p_value=p_value, verdict="better" if is_better else "worse")


def _moved(paired: pd.DataFrame, metric: Difference | None, count: int) -> pd.DataFrame:
    """Return the samples whose metric changed most, largest losses first."""
    import pandas as pd

    if metric is None:
        return pd.DataFrame(columns=["key", "baseline", "now", "change"])
    frame = pd.DataFrame(
        {
            "key": paired["key"],
            "baseline": paired[f"{metric.name}_a"],
            "now": paired[f"{metric.name}_b"],
        }
    )
    before, after = (frame[name].to_numpy(dtype=float) for name in ("baseline", "now"))
    frame["change"] = paired_differences(before, after, "none")
    known = frame[frame["change"].notna()]
    largest = known.loc[known["change"].abs().sort_values(ascending=False, kind="stable").index]
    chosen = largest.head(count)
    order = chosen["change"].map(lambda d: -badness(d, metric.direction))
    return chosen.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
