"""The values that flow: what they refuse, and what they count."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from layton_bench.types import (
    Codes,
    Failure,
    ImageBatch,
    Item,
    MetricValue,
    ScoredBatch,
    image_key,
    prompt_key,
    split_image_key,
)


def test_codes_hold_exactly_one_kind():
    with pytest.raises(ValueError, match="exactly one"):
        Codes(size_px=(8, 8))
    with pytest.raises(ValueError, match="exactly one"):
        Codes(size_px=(8, 8), payloads=(b"",), latents=torch.zeros(1, 4))
    with pytest.raises(ValueError, match="come together"):
        Codes(size_px=(8, 8), codes=torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="come together"):
        Codes(size_px=(8, 8), payloads=(b"",), codebook_size=4)


def test_bits_of_256_tokens_of_16384_entries_are_448_bytes():
    codes = Codes(
        size_px=(256, 256), codes=torch.zeros(3, 256, dtype=torch.int64), codebook_size=16384
    )
    assert codes.bits() == (3584.0,) * 3
    assert 3584 / 8 == 448
    assert len(codes) == 3


def test_bits_of_a_codebook_that_is_no_power_of_two():
    codes = Codes(size_px=(8, 8), codes=torch.zeros(1, 10, dtype=torch.int64), codebook_size=1000)
    assert codes.bits() == (pytest.approx(10 * math.log2(1000)),)


@pytest.mark.parametrize(
    ("dtype", "width"), [(torch.float32, 32), (torch.bfloat16, 16), (torch.float16, 16)]
)
def test_bits_of_latents_follow_their_dtype(dtype, width):
    codes = Codes(size_px=(64, 64), latents=torch.zeros(2, 4, 8, 8, dtype=dtype))
    assert codes.bits() == (4.0 * 8 * 8 * width,) * 2


def test_bits_of_payloads_are_their_own_bytes():
    codes = Codes(size_px=(8, 8), payloads=(b"", b"abc", bytes(448)))
    assert codes.bits() == (0.0, 24.0, 3584.0)
    assert len(codes) == 3


def test_a_batch_knows_its_keys_in_order():
    items = (Item(key="b"), Item(key="a", label=3))
    batch = ImageBatch(items=items, images=torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    assert batch.keys == ("b", "a")
    assert batch.failures == ()


def test_shared_values_are_computed_once_a_batch():
    calls = []
    batch = ScoredBatch(keys=("a",), candidates=torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    for _ in range(3):
        assert batch.shared("answer", lambda: calls.append(1) or 42) == 42
    assert calls == [1]
    other = ScoredBatch(keys=("a",), candidates=batch.candidates)
    assert other.shared("answer", lambda: 43) == 43
    assert len(batch) == 1


def test_a_shared_none_is_not_computed_again():
    calls = []
    batch = ScoredBatch(keys=("a",), candidates=torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    for _ in range(2):
        assert batch.shared("nothing", lambda: calls.append(1)) is None
    assert calls == [1]


def test_values_are_frozen():
    for value in (Item(key="a"), Failure(key="a", stage="read", reason="r")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.key = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        MetricValue(value=1.0, n=1).value = 2.0


@pytest.mark.parametrize("prompt", ["00012", "rock #1", "a#0", "#", "", "two\nlines#x", "#7#"])
@pytest.mark.parametrize("index", [0, 3, 12])
def test_sample_keys_give_prompt_and_number_back(prompt, index):
    assert split_image_key(image_key(prompt, index)) == (prompt, index)


@pytest.mark.parametrize("key", ["00012", "colour #red", "trailing#", "a#-1", "a#\u0661", "a#1.0"])
def test_a_key_without_a_number_is_image_0_of_itself(key):
    assert split_image_key(key) == (key, 0)
    assert prompt_key(key) == key
