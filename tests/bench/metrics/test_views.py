"""A metric that sees another view of each batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from layton_bench.metrics.base import PerSampleMetric
from layton_bench.metrics.views import Viewed
from layton_bench.types import ScoredBatch


def viewed() -> Viewed:
    """The mean level of the pictures, each level doubled."""
    mean = PerSampleMetric("mean", lambda batch: batch.candidates.float().mean((1, 2, 3)).tolist())
    return Viewed(
        mean, lambda batch: dataclasses.replace(batch, candidates=batch.candidates * 2, memo={})
    )


def batch(**levels: int) -> ScoredBatch:
    images = torch.stack([torch.full((3, 4, 4), v, dtype=torch.uint8) for v in levels.values()])
    return ScoredBatch(keys=tuple(levels), candidates=images)


def test_the_metric_sees_the_view_and_the_batch_is_as_before() -> None:
    metric, given = viewed(), batch(a=10, b=20)
    metric.update(given)
    assert metric.compute().value == pytest.approx(30)
    assert given.candidates.amax() == 20


def test_merged_and_carried_to_another_process() -> None:
    metric, other, third = viewed(), viewed(), viewed()
    metric.update(batch(a=10))
    other.update(batch(b=20))
    third.load_state(other.state())
    metric.merge(third)
    assert metric.compute().value == pytest.approx(30)
    assert metric.per_sample() == {}
