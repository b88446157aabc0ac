"""How often do 95 % intervals hold what they are of? Seeded simulations whose truth is known.

    python benchmarks/interval_coverage.py [--repeats 20000] [--only means|values|sets|time]

means   the mean of n values, by the rule in use and by others. A test of equal models rejects where
        its interval leaves 0 out, so `compare` has 100 % − the coverage of false alarms.
values  metrics that are no means of values, by their own code
sets    neighbourhoods of features: intervals and how wide they are, both sets drawn anew
time    seconds for 50,000 values

The tables of docs/intervals.md are this script's output.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from layton_bench.compare.paired_means import mean_difference
from layton_bench.intervals import mean_interval
from layton_bench.metrics.base import Metric, MetricContext
from layton_bench.metrics.features import FeatureChunk, FeatureRunner
from layton_bench.metrics.pairs.pixel import ColourBias, PooledPSNR
from layton_bench.metrics.pairs.regions import RatioMetric
from layton_bench.metrics.sets import manifold
from layton_bench.metrics.sets.feature_sets import FeatureSets
from layton_bench.records.markdown import table

Array = NDArray[np.float64]
Ends = tuple[float, float]
RESAMPLES = 1000

SHAPES: dict[str, tuple[Callable[[np.random.Generator, int], Array], float]] = {
    "normal": (lambda rng, n: rng.standard_normal(n), 0.0),
    "exponential": (lambda rng, n: rng.exponential(1.0, n), 1.0),
    "lognormal": (lambda rng, n: np.exp(rng.standard_normal(n)), math.exp(0.5)),
    "difference of exponentials": (lambda rng, n: np.diff(rng.exponential(1.0, (2, n)), axis=0)[0],
                                   0.0),
}  # fmt: skip
"""Name → how n values are drawn, and their mean."""


def students(sample: Array) -> Ends:
    """Student's interval."""
    half = stats.t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample))
    return sample.mean() - half, sample.mean() + half


def by_resampling(sample: Array, rng: np.random.Generator) -> dict[str, Ends]:
    """Four intervals of one bootstrap (Efron and Tibshirani 1993; Hesterberg 2015)."""
    n, mean = len(sample), sample.mean()
    drawn = sample[rng.integers(0, n, (RESAMPLES, n))]
    means, tails = drawn.mean(axis=1), [0.025, 0.975]
    low, high = np.quantile(means, tails)
    wider = math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)
    # a resample of one value alone has no spread; rounding must not make one up
    errors = np.maximum(drawn.std(axis=1, ddof=1), 1e-6 * sample.std()) / math.sqrt(n)
    first, last = np.quantile((means - mean) / errors, tails)
    error = sample.std(ddof=1) / math.sqrt(n)
    below = np.clip((means < mean).mean(), 1 / RESAMPLES, 1 - 1 / RESAMPLES)
    shift = stats.norm.ppf(below) + stats.norm.ppf(tails)
    moved = stats.norm.ppf(below) + shift / (1 - stats.skew(sample) / (6 * math.sqrt(n)) * shift)
    corrected = np.quantile(means, stats.norm.cdf(moved))
    return {
        "percentile": (low, high),
        "widened": (mean + wider * (low - mean), mean + wider * (high - mean)),
        "BCa": (corrected[0], corrected[1]),
        "studentised": (mean - last * error, mean - first * error),
    }


def share(ends: Iterable[Ends], truth: float) -> str:
    """How many intervals hold the truth."""
    return f"{np.mean([low <= truth <= high for low, high in ends]):.1%}"


def means_table(repeats: int) -> str:
    """Shapes × n, by every rule."""
    rules = ("percentile", "widened", "BCa", "studentised", "Student", "in use")
    rows = []
    for shape, (draw, mean) in SHAPES.items():
        for n in (10, 50, 500):
            rng = np.random.default_rng(n)
            samples = [draw(rng, n) for _ in range(repeats)]
            # each takes a thousand times as many draws as the closed forms
            resampled = [by_resampling(s, rng) for s in samples[: repeats // 10]]
            ends = {
                **{rule: [found[rule] for found in resampled] for rule in rules[:4]},
                "Student": [students(sample) for sample in samples],
                "in use": [mean_interval(sample) for sample in samples],
            }
            widths = {
                rule: np.mean([high - low for low, high in found[: len(resampled)]])
                for rule, found in ends.items()
            }
            rows.append([
                shape, str(n), *(share(ends[rule], mean) for rule in rules),
                f"{widths['studentised'] / widths['Student']:.2f}",
                f"{widths['in use'] / widths['Student']:.2f}",
                share((mean_interval(sample, confidence=0.998) for sample in samples), mean),
            ])  # fmt: skip
    headings = ("values", "n", *rules, "width, studentised", "width, in use", "in use at 99.8 %")
    return table(headings, rows, texts=1)


def computed(metric: Metric, **columns: Array) -> Ends:
    """The interval of a metric that has seen these numbers, one a sample."""
    n = len(next(iter(columns.values())))
    metric.load_state({"keys": np.array([f"{i:06}" for i in range(n)]), **columns})
    value = metric.compute()
    assert value.low is not None and value.high is not None
    return value.low, value.high


def ratio(rng: np.random.Generator, n: int) -> Ends:
    """Characters read rightly, 1 to 11 an image, some images worse than others: 0.8."""
    weights = rng.integers(1, 12, n)
    parts = rng.binomial(weights, rng.beta(4, 1, n))
    metric = RatioMetric("ratio", lambda _: [], parts="characters")
    return computed(metric, pairs=np.stack([parts, weights], axis=1).astype(float))


def pooled(rng: np.random.Generator, n: int) -> Ends:
    """Pooled PSNR of lognormal squared errors."""
    return computed(PooledPSNR(CONTEXT), values=np.exp(rng.standard_normal(n)))


def drift(length: float) -> Callable[[np.random.Generator, int], Ends]:
    """Colour bias where shifts of images are normal with σ = 1."""

    def draw(rng: np.random.Generator, n: int) -> Ends:
        a, b = rng.standard_normal((2, n))
        return computed(ColourBias(CONTEXT), a=a + length, b=b)

    return draw


def biases(first: float, second: float) -> Callable[[np.random.Generator, int], Ends]:
    """Of `compare`: how much farther from 0 one bias is than another; correlation 0.95."""

    def draw(rng: np.random.Generator, n: int) -> Ends:
        shared = math.sqrt(0.95) * rng.standard_normal(n)
        a, b = shared + math.sqrt(0.05) * rng.standard_normal((2, n))
        found = mean_difference(first + a, second + b, "zero")
        return found.low, found.high

    return draw


CONTEXT = MetricContext(features=None)  # type: ignore[arg-type]
VALUES: dict[str, tuple[Callable[[np.random.Generator, int], Ends], float]] = {
    "ratio of sums": (ratio, 0.8),
    "pooled PSNR": (pooled, 20 * math.log10(255) - 10 * math.log10(math.exp(0.5))),
    **{f"colour bias of {length:g} σ": (drift(length), length) for length in (0.0, 0.1, 0.3, 1.0)},
    "equal biases of 0": (biases(0.0, 0.0), 0.0),
    "equal biases of 0.3 σ": (biases(0.3, 0.3), 0.0),
    "opposite biases of 0.1 σ": (biases(0.1, -0.1), 0.0),
    "opposite biases of 0.3 σ": (biases(0.3, -0.3), 0.0),
}
"""Name → how an interval of n samples is drawn, and the truth."""


def values_table(repeats: int) -> str:
    """Metrics that are no means of values × n."""
    rows = []
    for name, (draw, truth) in VALUES.items():
        cells = []
        for n in (10, 50, 500):
            rng = np.random.default_rng(n)
            cells.append(share((draw(rng, n) for _ in range(repeats)), truth))
        rows.append([name, *cells])
    return table(("value", "n = 10", "n = 50", "n = 500"), rows, texts=1)


SETS: dict[str, Callable[[np.random.Generator, Array], Array]] = {
    "same": lambda rng, x: rng.standard_normal(x.shape),
    "moved": lambda rng, x: rng.standard_normal(x.shape) + 0.5,
    "narrower": lambda rng, x: 0.7 * rng.standard_normal(x.shape),
    "reconstructions": lambda rng, x: x + rng.standard_normal(x.shape),
    "good reconstructions": lambda rng, x: x + 0.5 * rng.standard_normal(x.shape),
}
"""Name → how candidates are drawn, given references (n, d) of independent normal features."""
METRICS = {
    "density": manifold._density,
    "coverage": manifold._coverage,
    "precision": manifold._precision,
    "recall": manifold._recall,
}


def sets_table(repeats: int) -> str:
    """Kinds of candidates × n, by metric: mean value, coverage, width over 3.92 true spreads."""
    rows = []
    for name, draw in SETS.items():
        for n, width in ((10, 8), (50, 8), (200, 8), (500, 32)):
            rng = np.random.default_rng(n)
            drawn = []
            for _ in range(repeats // (1 + n // 100)):
                references = rng.standard_normal((n, width))
                sets = feature_sets(draw(rng, references), references, "recon" in name)
                drawn.append([metric(sets) for metric in METRICS.values()])
            cells = []
            for found in zip(*drawn, strict=True):
                values, low, high = np.array([[v.value, v.low, v.high] for v in found]).T
                holds = np.mean((low <= values.mean()) & (values.mean() <= high))
                spread = 3.92 * values.std(ddof=1)
                ratio = f"{(high - low).mean() / spread:.1f}" if spread > 1e-3 else ""
                cells += [f"{values.mean():.3f}", f"{holds:.1%}", ratio]
            rows.append([name, f"{n} × {width}", *cells])
    headings = [column for name in METRICS for column in (name, "holds", "width")]
    return table(("candidates", "n × features", *headings), rows, texts=1)


def feature_sets(candidates: Array, references: Array, is_paired: bool) -> FeatureSets:
    """As a run would hold them."""
    chunks = [
        FeatureChunk(
            keys=tuple(f"{side}{i:06}" for i in range(len(rows))), rows=rows.astype(np.float32)
        )
        for side, rows in (("", candidates), ("" if is_paired else "r", references))
    ]
    return FeatureSets(*chunks, 0, FeatureRunner({}, Path))


def time_table() -> str:
    """Seconds for one interval of 50,000 values: in use, and by the percentiles of resamples."""
    sample = np.random.default_rng(0).exponential(1.0, 50_000)

    def percentiles() -> Sequence[float]:
        rng, means = np.random.default_rng(0), []
        for _ in range(20):  # by parts, as 50 million indices at once take 400 MB
            means.append(sample[rng.integers(0, len(sample), (50, len(sample)))].mean(axis=1))
        return tuple(np.quantile(np.concatenate(means), [0.025, 0.975]))

    seconds = []
    for call in (lambda: mean_interval(sample), percentiles):
        call()
        laps = []
        for _ in range(5):
            start = time.perf_counter()
            call()
            laps.append(time.perf_counter() - start)
        seconds.append(min(laps))
    cells = [f"{seconds[0] * 1e3:.1f} ms", f"{seconds[1] * 1e3:.0f} ms"]
    return table(
        ("in use", "1,000 resamples", "ratio"), [[*cells, f"{seconds[1] / seconds[0]:.0f}"]],
        texts=0,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20_000)
    parser.add_argument("--only", choices=("means", "values", "sets", "time"))
    asked = parser.parse_args()
    for name, made in (
        ("means", lambda: means_table(asked.repeats)),
        ("values", lambda: values_table(asked.repeats // 4)),
        ("sets", lambda: sets_table(asked.repeats // 20)),
        ("time", time_table),
    ):
        if asked.only in (None, name):
            print(f"\n{name}\n\n{made()}", flush=True)


if __name__ == "__main__":
    main()
