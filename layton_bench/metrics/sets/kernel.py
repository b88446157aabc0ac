"""KID and CMMD: maximum mean discrepancies of features.

``kid`` is KID (Bińkowski et al. 2018) as torch-fidelity computes it: the mean over 100 random
subsets of 1,000, with their standard deviation. ``clean-kid`` is clean-fid's: its resize and its
order of draws. ``kid-full`` is the unbiased estimate from all samples. ``cmmd`` is that of
Jayasumana et al. 2024: CLIP embeddings and a Gaussian kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.sets.discrepancy import (
    CMMD_SCALE,
    KernelSums,
    cmmd,
    cubic,
    gaussian_gap,
    jackknife_interval,
    kernel_influences,
    kernel_sums,
    mmd_unbiased,
)
from layton_bench.metrics.sets.feature_sets import FeatureSetMetric, FeatureSets
from layton_bench.metrics.sets.gram import Gram, gram_of
from layton_bench.metrics.sets.subsets import (
    NUM_SUBSETS,
    SUBSET_SIZE,
    Draw,
    draw_as_clean_fid,
    draw_as_torch_fidelity,
    kid_influences,
    subset_sums,
)
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def _kid(sets: FeatureSets, *, draw: Draw) -> MetricValue:
    n, m = len(sets.candidates.keys), len(sets.references.keys)
    size = min(SUBSET_SIZE, n, m)
    is_cheaper_whole = n * m <= NUM_SUBSETS * size**2
    subsets = draw(n, m, size)
    sums = list(subset_sums(
        sets.candidates.rows, sets.references.rows, subsets,
        gram_of(sets) if is_cheaper_whole else None,
    ))  # fmt: skip
    values = np.array([mmd_unbiased(one) for one in sums])
    parts = kid_influences(sums, subsets, n, m)
    if size == n == m:  # every subset is the whole set, and pairs stay together
        parts = _influences_of_whole(sets)
    note = "" if size == SUBSET_SIZE else f"subsets of {size}, fewer than {SUBSET_SIZE:,}"
    return MetricValue(
        value=float(values.mean()), std=float(values.std()), n=n, note=note,
        influence=sets.influence(*parts),
    )  # fmt: skip


def _whole_sums(sets: FeatureSets) -> KernelSums:
    return sets.once("cubic sums", lambda: kernel_sums(gram_of(sets), cubic))


def _influences_of_whole(sets: FeatureSets) -> tuple[Array, Array]:
    return kernel_influences(_whole_sums(sets), is_paired=sets.is_paired, is_unbiased=True, scale=1)


def _kid_full(sets: FeatureSets) -> MetricValue:
    sums = _whole_sums(sets)
    value = mmd_unbiased(sums)
    low = high = None
    if min(len(sums.within), len(sums.within_references)) > 2:
        low, high = jackknife_interval(
            sums, value, is_paired=sets.is_paired, is_unbiased=True, scale=1
        )
    return MetricValue(
        value=value, low=low, high=high, n=len(sums.within),
        influence=sets.influence(*_influences_of_whole(sets)),
    )  # fmt: skip


def _cmmd(sets: FeatureSets) -> MetricValue:
    rows = (unit_rows(sets.candidates.rows), unit_rows(sets.references.rows))
    sums = kernel_sums(Gram(*rows), gaussian_gap)
    value = cmmd(sums)
    low, high = jackknife_interval(
        sums, value, is_paired=sets.is_paired, is_unbiased=False, scale=-CMMD_SCALE
    )
    parts = kernel_influences(sums, is_paired=sets.is_paired, is_unbiased=False, scale=-CMMD_SCALE)
    return MetricValue(
        value=value, low=low, high=high, n=len(sums.within), influence=sets.influence(*parts)
    )


def unit_rows(rows: NDArray[np.float32]) -> Array:
    """Return rows (n, d) scaled to length 1, float64; a row of zeros stays as it is."""
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1))


def _make(
    context: MetricContext, *, backbone: str, tap: str, value: Callable[[FeatureSets], MetricValue]
) -> FeatureSetMetric:
    return FeatureSetMetric(context, backbone=backbone, tap=tap, value=value)


_SUBSETS = {"feat": "inception-tf-2048", "kernel": "poly3", "subsets": "100x1000"}

SPECS = (
    MetricSpec(
        name="kid", label="KID", direction="lower", digits=5, weights=("inception-fid",),
        summary="Kernel Inception distance, mean ± std over 100 subsets (torch-fidelity)",
        signature={"resize": "tf1", **_SUBSETS, "draw": "torch-fidelity"},
        make=partial(_make, backbone="inception-tf1", tap="pool3",
                     value=partial(_kid, draw=draw_as_torch_fidelity)),
    ),
    MetricSpec(
        name="clean-kid", label="clean-KID", direction="lower", digits=5,
        weights=("inception-fid",),
        summary="Kernel Inception distance with the resize and the draws of clean-fid",
        signature={"resize": "pil-bicubic", **_SUBSETS, "draw": "clean-fid"},
        make=partial(_make, backbone="inception-clean", tap="pool3",
                     value=partial(_kid, draw=draw_as_clean_fid)),
    ),
    MetricSpec(
        name="kid-full", label="KID (all pairs)", direction="lower", digits=5,
        weights=("inception-fid",),
        summary="Kernel Inception distance, unbiased estimate from all samples",
        signature={"resize": "tf1", "feat": "inception-tf-2048", "kernel": "poly3",
                   "estimate": "unbiased"},
        make=partial(_make, backbone="inception-tf1", tap="pool3", value=_kid_full),
    ),
    MetricSpec(
        name="cmmd", label="CMMD", direction="lower", digits=4, weights=("clip-vit-l-14-336",),
        summary="CLIP maximum mean discrepancy (Jayasumana et al. 2024)",
        signature={"resize": "pil-bicubic-336", "feat": "clip-vit-l-14-336",
                   "kernel": "rbf10", "scale": "1000"},
        make=partial(_make, backbone="clip-vit-l-14-336", tap="embedding", value=_cmmd),
    ),
)  # fmt: skip
