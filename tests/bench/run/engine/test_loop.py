"""The loop, with models whose every value is known; see passes.py."""

import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fakes import Grey, Noisy, Scaled, image_batch, level
from hypothesis import given, settings, strategies as st
from passes import LEVELS, WITH_BAD, Faulty, cut, score, throw

from layton_bench.errors import UserError
from layton_bench.machine.clock import Clock
from layton_bench.metrics.base import PerSampleMetric
from layton_bench.types import Codes, Failure, ImageBatch, ScoredBatch


def test_a_reconstruction_is_rounded_once_and_scored() -> None:
    done, values = score(Scaled(), cut(LEVELS, 2))
    # 127.5 · (0.5 · (x / 127.5 − 1) + 1) = 0.5 x + 63.75, rounded: 113.75 becomes 114
    assert values == {"a": 64.0, "b": 114.0, "c": 191.0, "d": 79.0, "e": 165.0}
    assert done.keys == list("abcde")
    assert (done.failures, done.upscaled, done.interrupted, done.broken) == ([], 0, False, {})
    assert done.batch_size == 2


def test_bits_and_tokens_are_those_of_the_codes() -> None:
    done, _ = score(Grey(), cut(LEVELS, 2))
    assert done.bits == dict.fromkeys("abcde", 4 * 8.0)
    assert done.num_tokens == 4
    done, _ = score(Scaled(), cut(LEVELS, 2))
    assert done.bits == dict.fromkeys("abcde", 3 * 16 * 16 * 32.0)
    assert done.num_tokens is None


@settings(max_examples=25, deadline=None)
@given(
    levels=st.lists(st.integers(0, 255), min_size=1, max_size=12),
    size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_no_order_or_batch_size_changes_a_value(levels: list[int], size: int, seed: int) -> None:
    named = {f"k{i}": value for i, value in enumerate(levels)}
    keys = list(named)
    random.Random(seed).shuffle(keys)
    for model in (Scaled(), Grey(), Noisy()):
        whole = PerSampleMetric("whole", level, seed=3)
        parts = PerSampleMetric("whole", level, seed=3)
        done, values = score(model, cut(named, len(named)), {"whole": whole})
        again, others = score(model, cut({k: named[k] for k in keys}, size), {"whole": parts})
        assert values == others
        assert done.bits == again.bits
        assert whole.compute() == parts.compute()


def test_two_passes_are_equal_bit_for_bit() -> None:
    assert score(Noisy(), cut(LEVELS, 2)) == score(Noisy(), cut(LEVELS, 2))


def test_samples_that_could_not_be_read_ride_along() -> None:
    lost = Failure(key="cut.png", stage="read", reason="truncated")
    batch = image_batch({"a": 100})
    batch = ImageBatch(items=batch.items, images=batch.images, failures=(lost,), upscaled=("a",))
    told: list[int] = []
    done, values = score(Scaled(), [batch], on_progress=told.append)
    assert (done.failures, done.keys, done.upscaled) == ([lost], ["a"], 1)
    assert values == {"a": 114.0}
    assert told == [2]


def test_a_batch_of_failures_alone_asks_nothing_of_the_model() -> None:
    lost = Failure(key="cut.png", stage="read", reason="truncated")
    empty = ImageBatch(items=(), images=torch.empty(0, 3, 0, 0), failures=(lost,))
    done, _ = score(None, [empty])
    assert (done.failures, done.keys) == ([lost], [])


def test_strict_stops_at_a_sample_that_could_not_be_read() -> None:
    lost = Failure(key="cut.png", stage="read", reason="truncated")
    empty = ImageBatch(items=(), images=torch.empty(0, 3, 0, 0), failures=(lost,))
    with pytest.raises(UserError, match=r"sample 'cut\.png': truncated \(stage: read\)"):
        score(None, [empty], strict=True)


def test_strict_stops_at_a_sample_the_model_fails_on() -> None:
    with pytest.raises(UserError, match=r"sample 'bad': KeyError: 'z' \(stage: decode\)"):
        score(Faulty(decode=throw(KeyError("z"))), cut(WITH_BAD, 5), strict=True)


def broken(batch: ScoredBatch) -> list[float]:
    if "c" in batch.keys:
        raise ZeroDivisionError("no area")
    return [1.0] * len(batch)


def test_a_metric_that_raises_for_one_sample_has_the_others(caplog) -> None:
    metric = PerSampleMetric("broken", broken)
    done, values = score(Scaled(), cut(LEVELS, 2), {"broken": metric})
    assert done.broken == {}
    assert list(metric.per_sample()["broken"]) == list("abde")
    assert metric.compute().note == "1 of 5 samples failed, 'c': ZeroDivisionError: no area"
    assert caplog.messages == ["metric 'broken' failed on 'c': ZeroDivisionError: no area"]
    assert done.keys == list(values) == list("abcde")


def test_a_metric_that_always_raises_falls_out_and_the_rest_go_on() -> None:
    metric = PerSampleMetric("broken", throw(ZeroDivisionError("no area")))
    done, values = score(Scaled(), cut(LEVELS, 2), {"broken": metric})
    assert done.broken == {"broken": "failed at 'a': ZeroDivisionError: no area"}
    assert done.keys == list(values) == list("abcde")


def test_strict_stops_at_a_metric_that_raises() -> None:
    metric = PerSampleMetric("broken", broken)
    with pytest.raises(UserError, match="metric 'broken': it failed on the batch from 'c'"):
        score(Scaled(), cut(LEVELS, 2), {"broken": metric}, strict=True)


def pressing(batches: list[ImageBatch], at: dict[int, int]) -> Iterator[ImageBatch]:
    """Presses Ctrl-C so many times while batch i is being read."""
    for index, batch in enumerate(batches):
        for _ in range(at.get(index, 0)):
            signal.raise_signal(signal.SIGINT)
        yield batch


def test_ctrl_c_lets_the_batch_in_hand_finish() -> None:
    seen = PerSampleMetric("seen", lambda batch: [1.0] * len(batch))
    done, values = score(Scaled(), pressing(cut(LEVELS, 2), {1: 1}), {"seen": seen})
    assert done.interrupted
    assert done.keys == list(values) == list(seen.per_sample()["seen"]) == list("abcd")


def test_a_second_ctrl_c_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        score(Scaled(), pressing(cut(LEVELS, 2), {1: 2}))


def test_the_clock_tells_the_phases_apart() -> None:
    class Slow(Scaled):
        def encode(self, images: torch.Tensor) -> Codes:
            time.sleep(0.02)
            return super().encode(images)

        def decode(self, codes: Codes, seeds: Any) -> torch.Tensor:
            time.sleep(0.04)
            return super().decode(codes, seeds)

    def slowly() -> Iterator[ImageBatch]:
        for batch in cut(LEVELS, 2):
            time.sleep(0.06)
            yield batch

    metric = PerSampleMetric("slow", lambda batch: [time.sleep(0.08) or 1.0] * len(batch))
    clock = Clock()
    score(Slow(), slowly(), {"slow": metric}, clock=clock)
    # three batches; a busy machine only adds
    floors = {"encode": 0.06, "decode": 0.12, "load": 0.18, "metrics": 0.24, "generate": 0.0}
    assert all(clock.seconds[phase] >= floor for phase, floor in floors.items())
    assert clock.seconds["generate"] == 0.0
