"""Is a set metric's paired comparison honest? Simulated pairs of runs whose truth is known.

    python benchmarks/paired_resampling.py [--repeats 200] [--brute 20] [--resamples 100]

Each repeat draws n images' features, and what two decoders that add noise make of them; both are
compared as `layton-bench compare` does, by each sample's influence. Where both decoders are equally
noisy, "differs" must be at most 5 %; where the second is noisier, the more the better. The same
pairs are compared by brute force: resample the samples, compute both distances anew, take the
spread of their difference. Columns:

    SE ÷ SD    standard error that the comparison finds ÷ spread of B − A over the repeats
    covers     share of 95 % intervals that hold the mean B − A of all repeats
    differs    share of comparisons that say "better" or "worse" at p ≤ 0.05

Features are skewed and not negative, as those of Inception: those of 40 hidden normal variables.
The table of docs/compare.md is this script's output.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from layton_bench.compare.differences import compare_metric
from layton_bench.metrics.base import influence_column
from layton_bench.metrics.features import FeatureChunk, FeatureRunner
from layton_bench.metrics.sets import frechet, inception_score, kernel
from layton_bench.metrics.sets.feature_sets import FeatureSets
from layton_bench.metrics.sets.subsets import draw_as_torch_fidelity
from layton_bench.records.markdown import table
from layton_bench.records.record import MetricResult
from layton_bench.types import MetricValue

Array = NDArray[np.float64]
HIDDEN = 40

METRICS: dict[str, Callable[[FeatureSets], MetricValue]] = {
    "fid": frechet._distance,
    "kid": partial(kernel._kid, draw=draw_as_torch_fidelity),
    "cmmd": kernel._cmmd,
    "is": inception_score._value,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table: a metric, sizes, and the noise of both decoders."""

    metric: str
    width: int
    n: int
    noise: tuple[float, float]
    cost: float = 1.0
    """How many times fewer repeats than asked for."""


CASES = (
    *(Case(metric="fid", width=64, n=500, noise=(0.3, b)) for b in (0.3, 0.33, 0.36)),
    *(Case(metric="fid", width=64, n=100, noise=(0.3, b)) for b in (0.3, 0.36)),
    *(Case(metric="fid", width=64, n=5000, noise=(0.3, b), cost=8) for b in (0.3, 0.31)),
    Case(metric="fid", width=64, n=500, noise=(0.05, 0.05)),
    *(Case(metric="fid", width=256, n=200, noise=(0.3, b), cost=4) for b in (0.3, 0.33)),
    *(Case(metric="fid", width=2048, n=500, noise=(0.3, b), cost=10) for b in (0.3, 0.32)),
    *(Case(metric="kid", width=64, n=500, noise=(0.3, b), cost=4) for b in (0.3, 0.36)),
    *(Case(metric="cmmd", width=64, n=500, noise=(0.3, b), cost=2) for b in (0.3, 0.36)),
    *(Case(metric="is", width=64, n=500, noise=(0.3, b)) for b in (0.3, 0.36)),
)


def features(width: int, rng: np.random.Generator) -> Callable[[Array], Array]:
    """Hidden variables (n, 40) → features (n, width)."""
    mixing = rng.standard_normal((HIDDEN, width)) / np.sqrt(HIDDEN)
    offset = 0.5 * rng.standard_normal(width) - 0.6
    return lambda hidden: np.maximum(0, np.exp(0.5 * (hidden @ mixing)) + offset)


def sets_of(candidates: Array, references: Array) -> FeatureSets:
    """As a run would hold them."""
    keys = tuple(f"{i:06}" for i in range(len(candidates)))
    chunks = [
        FeatureChunk(keys=keys, rows=rows.astype(np.float32)) for rows in (candidates, references)
    ]
    return FeatureSets(*chunks, 0, FeatureRunner({}, Path))


def compared(
    metric: str, values: tuple[MetricValue, MetricValue]
) -> tuple[float, float, float, float, float]:
    """Difference, standard error, interval and p-value, by the code of `compare`."""
    first, second = (
        MetricResult(label=metric, direction="lower", value=v.value, n=v.n, signature="same")
        for v in values
    )
    column = influence_column(metric)
    frame = pd.DataFrame(
        {
            f"{column}_{side}": list(v.influence.values())
            for side, v in zip("ab", values, strict=True)
        }
    )
    found = compare_metric(metric, first, second, frame, alpha=0.05)
    assert found.difference is not None and found.effect_size is not None
    assert found.low is not None and found.high is not None and found.p_value is not None
    error = abs(found.difference / found.effect_size) / np.sqrt(found.n)
    return found.difference, error, found.low, found.high, found.p_value


def brute_force(
    value: Callable[[FeatureSets], MetricValue],
    sets: tuple[FeatureSets, FeatureSets],
    resamples: int,
    seed: int,
) -> Array:
    """B − A of resamples of the samples, each distance computed anew."""
    rng = np.random.default_rng(seed)
    first, second = (s.candidates.rows for s in sets)
    references = sets[0].references.rows
    found = []
    for _ in range(resamples):
        rows = rng.integers(0, len(first), len(first))
        a, b = (value(sets_of(side[rows], references[rows])).value for side in (first, second))
        found.append(b - a)
    return np.array(found)


def row_of(case: Case, repeats: int, brute: int, resamples: int) -> list[str]:
    """One case, all its repeats."""
    value = METRICS[case.metric]
    rng = np.random.default_rng(0)
    make = features(case.width, rng)
    found, bases, errors, rejected = [], [], [], []
    for repeat in range(max(10, int(repeats / case.cost))):
        hidden = rng.standard_normal((case.n, HIDDEN))
        references = make(hidden)
        sets = tuple(
            sets_of(make(hidden + noise * rng.standard_normal(hidden.shape)), references)
            for noise in case.noise
        )
        values = tuple(value(s) for s in sets)
        found.append(compared(case.metric, values))
        bases.append(values[0].value)
        if case.width < 1000 and repeat < brute / case.cost:  # wide ones would take an hour
            drawn = brute_force(value, sets, resamples, repeat)
            errors.append(drawn.std(ddof=1))
            extreme = np.abs(drawn - drawn.mean()) >= abs(found[-1][0])
            rejected.append((1 + extreme.sum()) / (1 + resamples) <= 0.05)
    difference, error, low, high, p_value = np.array(found).T
    truth, spread = difference.mean(), difference.std(ddof=1)
    covers = np.mean((low <= truth) & (truth <= high))
    by_force = ["", ""]
    if errors:
        by_force = [f"{np.mean(errors) / spread:.2f}", f"{np.mean(rejected):.0%}"]
    return [
        case.metric, str(case.width), f"{case.n:,}", f"{case.noise[0]:g} → {case.noise[1]:g}",
        f"{np.mean(bases):.3g}", f"{truth:+.2g}", f"{np.mean(error) / spread:.2f}",
        f"{covers:.1%}", f"{np.mean(p_value <= 0.05):.1%}", str(len(found)), *by_force,
    ]  # fmt: skip


HEADINGS = (
    "metric", "features", "n", "noise", "A", "B − A", "SE ÷ SD", "covers", "differs", "repeats",
    "SE ÷ SD by force", "differs by force",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--brute", type=int, default=20, help="repeats compared by force too")
    parser.add_argument("--resamples", type=int, default=100, help="of the comparison by force")
    parser.add_argument("--metric", choices=METRICS, help="only its cases")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        if asked.metric in (None, case.metric):
            rows.append(row_of(case, asked.repeats, asked.brute, asked.resamples))
            print(*rows[-1], sep="\t", flush=True)
    print("\n" + table(list(HEADINGS), rows, texts=1))


if __name__ == "__main__":
    main()
