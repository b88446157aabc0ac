"""Codebook statistics worked by hand, and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from layton_bench.errors import ModelOutputError
from layton_bench.metrics import codes
from layton_bench.metrics.base import MetricContext
from layton_bench.types import Codes, MetricValue, ScoredBatch

SPECS = {spec.name: spec for spec in codes.SPECS}


def batch_of(rows: list[list[int]] | torch.Tensor, codebook_size: int = 8) -> ScoredBatch:
    held = Codes(size_px=(4, 4), codes=torch.as_tensor(rows), codebook_size=codebook_size)
    return without_codes(len(rows), held)


def without_codes(count: int, held: Codes | None = None) -> ScoredBatch:
    pixels = torch.zeros(count, 3, 4, 4, dtype=torch.uint8)
    return ScoredBatch(keys=tuple(map(str, range(count))), candidates=pixels, codes=held)


def score(name: str, *batches: ScoredBatch) -> MetricValue:
    metric = SPECS[name].make(MetricContext(features=None))
    for batch in batches:
        metric.update(batch)
    return metric.compute()


def test_by_hand():
    # codes 0, 1, 2 occur 4, 2, 2 times of 8: H = 0.5·1 + 2·0.25·2 = 1.5 bits
    batch = batch_of([[0, 0, 1, 2], [2, 1, 0, 0]])
    assert score("codebook-usage", batch) == MetricValue(value=3 / 8, n=2)
    assert score("codebook-entropy", batch).value == pytest.approx(1.5, abs=1e-15)
    assert score("codebook-perplexity", batch).value == pytest.approx(2**1.5, abs=1e-14)
    assert score("dead-codes", batch).value == 5
    assert score("duplicate-sequences", batch) == MetricValue(value=0.0, n=2)


def test_one_code_only_carries_nothing():
    batch = batch_of([[3] * 8])
    value = score("codebook-entropy", batch).value
    assert value == 0
    assert math.copysign(1, value) == 1
    assert score("codebook-perplexity", batch).value == 1.0
    assert score("dead-codes", batch).value == 7


def test_uniform_codes_carry_all_their_bits():
    batch = batch_of(torch.arange(16384).view(4, 4096), codebook_size=16384)
    assert score("codebook-entropy", batch).value == pytest.approx(14, abs=1e-12)
    assert score("codebook-perplexity", batch).value == pytest.approx(16384, rel=1e-12)
    assert score("codebook-usage", batch).value == 1.0


def test_entropy_equals_scipy():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.geometric(0.01, (50, 64)).clip(0, 1023))
    expected = entropy(np.bincount(rows.flatten().numpy(), minlength=1024), base=2)
    assert score("codebook-entropy", batch_of(rows, 1024)).value == pytest.approx(
        expected, abs=1e-12
    )


def test_fewer_codes_than_entries_is_said():
    value = score("codebook-usage", batch_of([[0, 1, 2]], codebook_size=16384))
    assert value.note == "only 3 codes for 16,384 entries"


def test_usage_is_over_the_whole_evaluation():
    assert score("codebook-usage", batch_of([[0, 1]]), batch_of([[1, 2]])).value == 3 / 8


def test_duplicates_count_images_beyond_the_first_of_each():
    first, second = batch_of([[1, 2], [1, 2], [2, 1]]), batch_of([[1, 2], [2, 1], [0, 0]])
    assert score("duplicate-sequences", first).value == 1
    assert score("duplicate-sequences", first, second) == MetricValue(value=3.0, n=6)


def test_duplicates_do_not_depend_on_the_dtype_of_the_codes():
    narrow = batch_of(torch.tensor([[1, 2]], dtype=torch.int32))
    assert score("duplicate-sequences", narrow, batch_of([[1, 2]])).value == 1


@pytest.mark.parametrize("name", SPECS)
def test_parts_merged_equal_the_whole_and_state_survives(name):
    rng = np.random.default_rng(1)
    rows = torch.from_numpy(rng.integers(0, 5, (30, 2)))
    whole = score(name, batch_of(rows))
    parts = [SPECS[name].make(MetricContext(features=None)) for _ in range(3)]
    for part, picked in zip(parts, (rows[20:], rows[:3], rows[3:20]), strict=True):
        part.update(batch_of(picked))
    restored = SPECS[name].make(MetricContext(features=None))
    restored.load_state(parts[0].state())
    for part in parts[1:]:
        restored.merge(part)
    assert restored.compute() == whole
    # what was merged in is a copy: the part can go on by itself
    before = restored.compute()
    parts[1].update(batch_of(rows))
    assert restored.compute() == before


@pytest.mark.parametrize("name", SPECS)
def test_models_without_discrete_codes_have_no_value(name):
    latents = Codes(size_px=(4, 4), latents=torch.zeros(2, 4))
    for batch in (without_codes(2), without_codes(2, latents)):
        value = score(name, batch)
        assert value.value is None
        assert value.note == "the model has no discrete codes"
    empty = SPECS[name].make(MetricContext(features=None))
    other = SPECS[name].make(MetricContext(features=None))
    other.load_state(empty.state())
    empty.merge(other)
    assert empty.compute().value is None


@pytest.mark.parametrize("wrong", [-1, 8])
def test_a_code_outside_the_codebook_is_named(wrong):
    with pytest.raises(ModelOutputError, match=rf"{wrong}.*outside \[0, 8\)"):
        score("codebook-usage", batch_of([[0, wrong]]))


def test_the_codebook_does_not_change_size_on_the_way():
    with pytest.raises(ModelOutputError, match="changed from 8 to 16"):
        score("codebook-usage", batch_of([[1]]), batch_of([[1]], codebook_size=16))
