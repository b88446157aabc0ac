"""Fréchet distances between Gaussians fitted to features: FID and its relatives.

    d² = |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½        (Fréchet 1957; Dowson and Landau 1982)

With roots RᵀR = Σ, the last trace is the sum of the singular values of R₁R₂ᵀ. This is exact for
singular covariances too. There the usual square root of the non-symmetric Σ₁Σ₂ adds spurious trace,
and the distance comes out too low. Everything is in float64.

There are three ways of feeding Inception, each with a name of its own. ``fid`` is that of the
original TensorFlow code (TTUR, guided-diffusion, torch-fidelity; therefore ADM, DiT, LlamaGen,
TiTok, MAR). ``clean-fid`` is that of Parmar et al. 2022, ``fid-pytorch`` that of pytorch-fid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.base import MetricContext, MetricPattern, MetricSpec
from layton_bench.metrics.sets.feature_sets import FeatureSetMetric, FeatureSets
from layton_bench.metrics.sets.moments import Moments, read_statistics
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Heusel et al. 2017 advise at least as many samples as features.
_BIASED_BELOW = 2048
_FID_INF_SIZES = 15
_FID_INF_SEED = 110


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return the squared Fréchet distance of two Gaussians, finite and not negative."""
    import torch

    cross = torch.from_numpy(first.root) @ torch.from_numpy(second.root).T
    nuclear = float(torch.linalg.svdvals(cross).sum())
    return max(0.0, _mean_and_traces(first, second) - 2 * nuclear)


def frechet_interval(
    estimate: float, one: Array, other: Array, *, is_paired: bool
) -> tuple[float, float]:
    """Return the 95 % interval of the estimate at this n, by the infinitesimal jackknife.

    See Jaeckel 1972. Paired samples are resampled in pairs, so what both share does not widen the
    interval.

    Args:
        estimate: the distance.
        one: influence of each candidate, float64 (n,).
        other: influence of each reference, float64 (m,).
        is_paired: whether candidate i and reference i belong together.
    """
    if is_paired:
        variance = _variance_of_mean(one + other)
    else:
        variance = _variance_of_mean(one) + _variance_of_mean(other)
    half = NormalDist().inv_cdf(0.975) * math.sqrt(variance)
    return max(0.0, estimate - half), estimate + half


def _mean_and_traces(first: Moments, second: Moments) -> float:
    gap = first.mean - second.mean
    return float(gap @ gap + (first.root**2).sum() + (second.root**2).sum())


def influences(sets: FeatureSets, first: Moments, second: Moments) -> tuple[Array, Array]:
    """Return the influence of each candidate (n,) and of each reference (m,), float64.

    For a candidate with a = x − μ₁ it is 2(μ₁−μ₂)·a + aᵀ(I − T)a − tr((I − T)Σ₁), where T is the
    optimal transport map between the Gaussians. For a reference, the sets change places.
    """
    import torch

    roots = torch.from_numpy(first.root), torch.from_numpy(second.root)
    left, singular, right = torch.linalg.svd(roots[0] @ roots[1].T, full_matrices=False)
    largest = float(singular.max()) if len(singular) else 0.0
    kept = singular > largest * len(singular) * np.finfo(np.float64).eps
    scale = singular[kept].rsqrt()[:, None]
    # aᵀTa = |S^-½ Vᵀ R₂ a|² for candidates, |S^-½ Uᵀ R₁ b|² for references
    maps = scale * (right[kept] @ roots[1]), scale * (left[:, kept].T @ roots[0])
    shared = float(singular.sum())
    gap = first.mean - second.mean
    return (
        _influence(sets.candidates.rows, first, gap, maps[0].numpy(), shared),
        _influence(sets.references.rows, second, -gap, maps[1].numpy(), shared),
    )


def _influence(
    rows: NDArray[np.float32], moments: Moments, gap: Array, transport: Array, shared: float
) -> Array:
    trace = float((moments.root**2).sum())
    parts = []
    for block in np.array_split(rows, math.ceil(len(rows) / 8192)):
        a = block - moments.mean
        transported = (a @ transport.T) ** 2
        parts.append(2 * a @ gap + (a**2).sum(1) - trace - transported.sum(1) + shared)
    return np.concatenate(parts)


def _variance_of_mean(influence: Array) -> float:
    return float(influence.var(ddof=1)) / len(influence)


def _moments(sets: FeatureSets) -> tuple[Moments, Moments]:
    """Return moments of both sets, computed once for all metrics of these features."""
    return sets.once(
        "moments",
        lambda: (Moments.of_rows(sets.candidates.rows), Moments.of_rows(sets.references.rows)),
    )


def _distance(sets: FeatureSets) -> MetricValue:
    first, second = _moments(sets)
    value = sets.once("frechet", lambda: frechet_distance(first, second))
    parts = influences(sets, first, second)
    low, high = frechet_interval(value, *parts, is_paired=sets.is_paired)
    return MetricValue(
        value=value, low=low, high=high, n=len(sets.candidates.keys), note=_bias(sets),
        influence=sets.influence(*parts),
    )  # fmt: skip


def _bias(sets: FeatureSets) -> str:
    fewest = min(len(sets.candidates.keys), len(sets.references.keys))
    return f"biased, n={fewest:,}" if fewest < _BIASED_BELOW else ""


def _distance_to_file(sets: FeatureSets, *, reference: Moments) -> MetricValue:
    first = sets.once("own moments", lambda: Moments.of_rows(sets.candidates.rows))
    if len(first.mean) != len(reference.mean):
        note = f"the statistics have {len(reference.mean)} features, not {len(first.mean)}"
        return MetricValue(value=None, n=len(sets.candidates.keys), note=note)
    value = frechet_distance(first, reference)
    one, _ = influences(sets, first, reference)
    half = NormalDist().inv_cdf(0.975) * math.sqrt(_variance_of_mean(one))
    return MetricValue(
        value=value, low=max(0.0, value - half), high=value + half,
        n=len(sets.candidates.keys), note=_bias(sets), influence=sets.influence(one),
    )  # fmt: skip


def subset_sizes(n: int) -> tuple[int, ...]:
    """Return 15 sizes from a fifth of n, but at most 5,000, up to n."""
    smallest = max(2, min(5000, n // 5))
    return tuple(int(size) for size in np.linspace(smallest, n, _FID_INF_SIZES))


def frechet_infinity(candidates: NDArray[np.float32], references: Moments) -> tuple[float, float]:
    """Return FID extrapolated to infinitely many candidates (Chong and Forsyth 2020).

    A line is fitted by least squares to the FID of 15 subsets against 1/size. All references are
    used each time. The published code draws from the global generator; here the seed is fixed.

    Returns:
        Intercept, which is the value, and slope.
    """
    rng = np.random.RandomState(_FID_INF_SEED)
    sizes = subset_sizes(len(candidates))
    subsets = [rng.choice(len(candidates), size, replace=False) for size in sizes]
    distances = [
        frechet_distance(Moments.of_rows(candidates[np.sort(subset)]), references)
        for subset in subsets
    ]
    slope, intercept = np.polyfit(1 / np.array(sizes), distances, 1)
    return float(intercept), float(slope)


def _infinity(sets: FeatureSets) -> MetricValue:
    _, references = _moments(sets)
    value, _ = frechet_infinity(sets.candidates.rows, references)
    n = len(sets.candidates.keys)
    if n < _BIASED_BELOW:
        return MetricValue(value=value, n=n, note=f"extrapolated from n={n:,} only")
    return MetricValue(value=value, n=n)


def _make(context: MetricContext, *, backbone: str, tap: str) -> FeatureSetMetric:
    return FeatureSetMetric(context, backbone=backbone, tap=tap, value=_distance)


def _make_infinity(context: MetricContext) -> FeatureSetMetric:
    # the smallest of the 15 subsets is a fifth of the samples, and needs two
    return FeatureSetMetric(
        context, backbone="inception-tf1", tap="pool3", value=_infinity, min_samples=30
    )


def _spec(
    name: str, label: str, summary: str, backbone: str, tap: str, weights: str,
    signature: Mapping[str, str],
) -> MetricSpec:  # fmt: skip
    return MetricSpec(
        name=name, label=label, direction="lower", summary=summary, digits=2, weights=(weights,),
        signature=signature, make=partial(_make, backbone=backbone, tap=tap),
    )  # fmt: skip


_INCEPTION = "inception-fid"
_FRECHET = (
    _spec(
        "fid", "{kind}FID", "Fréchet Inception distance, with the original TensorFlow resize",
        "inception-tf1", "pool3", _INCEPTION, {"resize": "tf1", "feat": "inception-tf-2048"},
    ),
    _spec(
        "clean-fid", "clean-{kind}FID", "FID with Pillow's antialiased resize (Parmar et al. 2022)",
        "inception-clean", "pool3", _INCEPTION,
        {"resize": "pil-bicubic", "feat": "inception-tf-2048"},
    ),
    _spec(
        "fid-pytorch", "{kind}FID (pytorch-fid)", "FID with the resize of pytorch-fid",
        "inception-pytorch-fid", "pool3", _INCEPTION,
        {"resize": "torch-bilinear", "feat": "inception-tf-2048"},
    ),
    _spec(
        "sfid", "s{kind}FID", "spatial FID (Nash et al. 2021), as guided-diffusion computes it",
        "inception-tf1", "spatial", _INCEPTION, {"resize": "tf1", "feat": "inception-tf-2023s"},
    ),
    _spec(
        "fd-dinov2", "FD-DINOv2", "Fréchet distance of DINOv2 ViT-L/14 (Stein et al. 2023)",
        "dinov2-vit-l-14", "cls", "dinov2-vit-l-14",
        {"resize": "pil-bicubic-224", "feat": "dinov2-vit-l-14"},
    ),
)  # fmt: skip

_INFINITY = MetricSpec(
    name="fid-inf",
    label="{kind}FID∞",
    direction="lower",
    summary="FID extrapolated to infinitely many samples (Chong and Forsyth 2020)",
    digits=2,
    weights=(_INCEPTION,),
    signature={"resize": "tf1", "feat": "inception-tf-2048", "fit": "15-subsets"},
    make=_make_infinity,
)


def _with_statistics(match: re.Match[str]) -> MetricSpec:
    """Return the spec of ``fid@FILE.npz``: the distance to the reference statistics of a file."""
    from layton_bench.weights import sha256_of

    base = next(spec for spec in _FRECHET if spec.name == match["base"])
    tap = "spatial" if base.name == "sfid" else "pool3"
    path = Path(match["file"])
    reference = read_statistics(path, tap=tap)
    make = base.make
    assert isinstance(make, partial)
    return MetricSpec(
        name=f"{base.name}@{path.name}", label=base.label, direction=base.direction,
        digits=base.digits,
        summary=f"{base.summary}, against the statistics of {path.name}",
        weights=base.weights, signature={**base.signature, "stats": sha256_of(path)[:12]},
        make=partial(
            FeatureSetMetric, **make.keywords, with_references=False,
            value=partial(_distance_to_file, reference=reference),
        ),
    )  # fmt: skip


_FROM_FILE = MetricPattern(
    pattern=re.compile(rf"(?P<base>{'|'.join(s.name for s in _FRECHET)})@(?P<file>.+\.npz)"),
    examples=("fid@STATISTICS.npz",),
    make_spec=_with_statistics,
)

SPECS: tuple[MetricSpec | MetricPattern, ...] = (*_FRECHET, _INFINITY, _FROM_FILE)
