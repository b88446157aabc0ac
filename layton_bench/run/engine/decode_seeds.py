"""Several decodes of each image, by a decoder that draws noise: how far do the values move?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from layton_bench.metrics import CheckedMetric, MetricContext, MetricSpec, Viewed
from layton_bench.records import SeedSpread
from layton_bench.registry import computed, make_metric
from layton_bench.types import MetricValue, ScoredBatch


def under_decode_seeds(
    specs: Mapping[str, MetricSpec],
    metrics: Mapping[str, CheckedMetric],
    context: MetricContext,
    decode_seeds: int,
) -> dict[str, CheckedMetric]:
    """Return one more accumulator of each metric for every decode seed after the first.

    Metrics of the codes alone have none: they do not change. Names are those of ``seed_name``.
    """
    return {
        seed_name(name, number): _viewed(specs[name], context, number)
        for number in range(1, decode_seeds)
        for name in metrics
        if not specs[name].needs & {"codes", "codebook"}
    }


def _viewed(spec: MetricSpec, context: MetricContext, number: int) -> CheckedMetric:
    return CheckedMetric(Viewed(make_metric(spec, context), partial(redecoded, number)))


def seed_name(metric: str, number: int) -> str:
    """Return the name of a metric's accumulator for a decode seed; the first has the metric's."""
    return f"{metric} seed {number}" if number else metric


def redecoded(number: int, batch: ScoredBatch) -> ScoredBatch:
    """Return the batch as decoded with decode seed ``number``, 1 or more."""
    return batch.redecoded[number - 1]


def seed_spread(
    name: str, first: MetricValue, metrics: Mapping[str, CheckedMetric], decode_seeds: int
) -> SeedSpread | None:
    """Return the metric's value for each decode seed, and how far single images move.

    Args:
        name: the metric.
        first: its value for the first decode seed.
        metrics: all accumulators after the pass.
        decode_seeds: number of decode seeds.
    """
    others = [metrics.get(seed_name(name, number)) for number in range(1, decode_seeds)]
    if not others or None in others:
        return None
    made = [first, *(computed(metric).value for metric in others if metric is not None)]
    values = [value.value for value in made if value.value is not None]
    if len(values) < decode_seeds:
        return None
    columns = [metrics[name].columns().get(name, {})]
    columns += [_columns(metric).get(name, {}) for metric in others if metric is not None]
    variances = [
        float(np.var([column[key] for column in columns], ddof=1))
        for key in columns[0]
        if all(math.isfinite(column.get(key, math.nan)) for column in columns)
    ]
    return SeedSpread(
        values=tuple(values),
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)),
        image_variance=float(np.mean(variances)) if variances else None,
    )


def _columns(metric: CheckedMetric) -> dict[str, dict[str, float]]:
    """Return the columns of the metric behind a view, which has none itself."""
    view = metric.metric
    assert isinstance(view, Viewed)
    assert isinstance(view.metric, CheckedMetric)
    return view.metric.columns()
