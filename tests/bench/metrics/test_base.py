"""The per-sample accumulator: means, intervals, infinities, undefined values, state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from layton_bench.errors import ModelOutputError
from layton_bench.intervals import mean_interval
from layton_bench.metrics.base import PerSampleMetric
from layton_bench.types import MetricValue, ScoredBatch

VALUES = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 5.0}


def batch(*keys: str) -> ScoredBatch:
    return ScoredBatch(keys=keys, candidates=torch.zeros(len(keys), 3, 1, 1, dtype=torch.uint8))


def metric(values: dict[str, float], *, seed: int = 0, **extra) -> PerSampleMetric:
    return PerSampleMetric("m", lambda b: [values[k] for k in b.keys], seed=seed, **extra)


def filled(values: dict[str, float], **extra) -> PerSampleMetric:
    made = metric(values, **extra)
    made.update(batch(*values))
    return made


def test_mean_and_interval():
    value = filled(VALUES).compute()
    assert value.value == 3.0
    assert value.n == 4
    assert (value.low, value.high) == mean_interval([1.0, 2.0, 4.0, 5.0])
    assert value.low < 3 < value.high
    assert value.note == ""


def test_one_sample_has_a_value_and_no_interval():
    assert filled({"a": 2.5}).compute() == MetricValue(value=2.5, n=1)


def test_no_samples_have_no_value():
    assert metric({}).compute() == MetricValue(value=None, n=0, note="no samples")


@pytest.mark.parametrize(
    "split", [["abcd"], ["a", "b", "c", "d"], ["dc", "ba"], ["d", "abc"], ["cab", "d"]]
)
def test_order_and_batch_size_do_not_matter(split):
    one = metric(VALUES)
    for keys in split:
        one.update(batch(*keys))
    assert one.compute() == filled(VALUES).compute()


def test_merged_parts_equal_the_whole():
    left, right = metric(VALUES), metric(VALUES)
    left.update(batch("d", "a"))
    right.update(batch("b", "c"))
    left.merge(right)
    assert left.compute() == filled(VALUES).compute()


def test_state_is_sorted_and_survives_a_round_trip():
    state = filled({"b": 2.0, "a": 1.0}).state()
    assert state["keys"].tolist() == ["a", "b"]
    assert state["values"].tolist() == [1.0, 2.0]
    restored = metric({})
    restored.load_state(state)
    assert restored.compute() == filled({"a": 1.0, "b": 2.0}).compute()
    restored.load_state(metric({}).state())
    assert restored.compute().n == 0


def test_a_sample_seen_twice_counts_once():
    twice = filled(VALUES)
    twice.update(batch("a", "b"))
    assert twice.compute() == filled(VALUES).compute()


def test_an_infinite_value_does_not_swallow_the_mean():
    value = filled({**VALUES, "e": math.inf}).compute()
    assert value.value == 3.0
    assert value.n == 5
    assert value.note == "1 of 5 infinite, left out of the mean"


def test_infinite_throughout_is_infinite():
    value = filled({"a": math.inf, "b": math.inf}).compute()
    assert (value.value, value.low, value.high, value.n) == (math.inf, math.inf, math.inf, 2)
    assert value.note == "infinite for every sample"


def test_infinities_of_both_signs_have_no_mean():
    value = filled({"a": math.inf, "b": -math.inf}).compute()
    assert value == MetricValue(value=None, n=2, note="infinite values of both signs")


def test_undefined_values_are_explained():
    value = filled({"a": 1.0, "b": math.nan}, undefined="too small").compute()
    assert (value.value, value.n, value.note) == (1.0, 2, "1 of 2 left out: too small")
    value = filled({"a": math.nan}, undefined="too small").compute()
    assert value == MetricValue(value=None, n=1, note="too small")
    value = filled({"a": math.nan, "b": math.inf, "c": 2.0}).compute()
    assert value.value == 2.0
    assert value.note == ("1 of 3 infinite, left out of the mean; 1 of 3 left out: not defined")


def test_a_score_for_every_sample():
    short = PerSampleMetric("m", lambda b: [1.0])
    with pytest.raises(ModelOutputError, match=r"\(1,\), expected numbers \(2, 1\)"):
        short.update(batch("a", "b"))


def test_columns_carry_the_metric_name_and_plain_floats():
    made = PerSampleMetric("m", lambda b: np.array([1.5]))
    made.update(batch("a"))
    assert made.per_sample() == {"m": {"a": 1.5}}
    assert type(made.per_sample()["m"]["a"]) is float
