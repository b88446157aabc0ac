"""Inception Score (Salimans et al. 2016), as torch-fidelity computes it.

    IS = exp( E KL(p(y|x) ‖ p(y)) ), the mean over 10 splits of rows shuffled by seed 2020

computed from the 1,008 logits of the TensorFlow graph without their bias, softmax in float64.
(torchmetrics shuffles with torch's global generator, and returns the sample standard deviation.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from layton_bench.intervals import jackknife
from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.sets.feature_sets import FeatureSetMetric, FeatureSets
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

_SPLITS = 10
_SEED = 2020
# Chong and Forsyth 2020 show the bias. The original paper advises 50,000 samples.
_BIASED_BELOW = 2048


def inception_scores(
    logits: ArrayLike, *, splits: int = _SPLITS, shuffle: bool = True
) -> tuple[Array, Array]:
    """Return the score of each split (S,), and the mean over splits without each row (n,).

    Rows are in the order of the splits.

    Args:
        logits: (n, classes); n must be at least the number of splits.
        splits: number of splits; split s has the shuffled rows from s·n//S to (s + 1)·n//S.
        shuffle: whether rows are shuffled with seed 2020.
    """
    rows = np.asarray(logits, dtype=np.float64)
    n = len(rows)
    if shuffle:
        rows = rows[_order(n)]
    parts = [rows[s * n // splits : (s + 1) * n // splits] for s in range(splits)]
    scored = [_score(part) for part in parts]
    scores = np.array([score for score, _ in scored])
    rest = (scores.sum() - scores) / splits
    without = [rest[s] + scored[s][1] / splits for s in range(splits)]
    return scores, np.concatenate(without)


def _order(n: int) -> NDArray[np.intp]:
    return np.random.RandomState(_SEED).permutation(n)


def _score(logits: Array) -> tuple[float, Array]:
    """Return the score of one split, and its scores without each row; NaN if no row is left."""
    from scipy.special import log_softmax, xlogy

    log_p = log_softmax(logits, axis=1)
    p = np.exp(log_p)
    n = len(p)
    certainty = (p * log_p).sum(axis=1)
    mean = p.mean(axis=0)
    score = float(np.exp(certainty.mean() - xlogy(mean, mean).sum()))
    if n < 2:
        return score, np.full(n, np.nan)
    means = np.maximum((mean * n - p) / (n - 1), 0)
    entropies = xlogy(means, means).sum(axis=1)
    return score, np.exp((certainty.sum() - certainty) / (n - 1) - entropies)


def _value(sets: FeatureSets) -> MetricValue:
    scores, without = inception_scores(sets.candidates.rows)
    n = len(without)
    value = float(scores.mean())
    low = high = None
    influence: dict[str, float] = {}
    if np.isfinite(without).all():
        low, high = jackknife(without.tolist(), value)
        influence = sets.influence(_influence(without))
    note = f"biased, n={n:,}" if n < _BIASED_BELOW else ""
    return MetricValue(
        value=value, low=low, high=high, std=float(scores.std()), n=n, note=note,
        influence=influence,
    )  # fmt: skip


def _influence(without: Array) -> Array:
    """Return the influence of each row in its own order, from values in the shuffled order."""
    influence = np.empty_like(without)
    influence[_order(len(without))] = (len(without) - 1) * (without.mean() - without)
    return influence


def _make(context: MetricContext) -> FeatureSetMetric:
    return FeatureSetMetric(
        context, backbone="inception-tf1", tap="logits", value=_value, min_samples=_SPLITS,
        with_references=False,
    )  # fmt: skip


SPECS = (
    MetricSpec(
        name="is",
        label="IS",
        direction="higher",
        summary="Inception Score, mean ± std over 10 splits",
        digits=2,
        weights=("inception-fid",),
        signature={"resize": "tf1", "feat": "inception-tf-logits", "splits": "10"},
        make=_make,
    ),
)
