"""Metrics of features, and pictures to run them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import feature_cases as cases

from layton_bench.metrics.base import MetricSpec
from layton_bench.metrics.sets import frechet, inception_score, kernel, manifold

if TYPE_CHECKING:
    import torch

SPECS = [
    spec
    for module in (frechet, kernel, manifold, inception_score)
    for spec in module.SPECS
    if isinstance(spec, MetricSpec)
]


N = 64


def candidates() -> torch.Tensor:
    return cases.pictures(N, 1)


def references() -> torch.Tensor:
    return cases.pictures(N, 2)
