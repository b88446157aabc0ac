"""Timing: repeats, statistics, ratios in turn, growing batches, operations."""

import itertools
import json

import numpy as np
import pytest
import torch
from lab import Bench

from layton_bench import timing
from layton_bench.clock import Clock, counted_flops
from layton_bench.throughput import photographs
from layton_bench.timing import Effort, best_batch_size, measure, measure_in_turn, summarise


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch):
    """Replaces the stopwatch: each call takes the next of these seconds."""

    def use(*seconds: float) -> None:
        stream = iter(seconds)
        monkeypatch.setattr(timing, "duration", lambda call, device: next(stream))

    return use


def test_warm_up_ends_when_two_calls_agree(durations) -> None:
    durations(5.0, 2.0, 1.05, 1.0, 7.0)
    assert timing.warm_up(lambda: None, "cpu") == 4


def test_enough_repeats_and_enough_seconds(durations) -> None:
    durations(1.0, 1.0, *[0.5] * 10)
    assert measure(lambda: None, "cpu", Effort(min_repeats=3, min_seconds=2.0)) == (0.5,) * 4
    durations(1.0, 1.0, *[3.0] * 10)
    assert len(measure(lambda: None, "cpu", Effort(min_repeats=3, min_seconds=2.0))) == 3


def test_a_ratio_is_of_calls_in_turn_so_that_drift_cancels(durations) -> None:
    drifting = itertools.chain.from_iterable((2.0 * s, 1.0 * s) for s in (1, 2, 4, 8, 16))
    durations(1.0, 1.0, 1.0, 1.0, *drifting)
    ratio = measure_in_turn(lambda: None, lambda: None, "cpu", Effort(min_seconds=0.0))
    assert (ratio.median, ratio.low, ratio.high, ratio.num_pairs) == (2.0, 2.0, 2.0, 5)


def test_statistics_by_hand() -> None:
    speed = summarise(
        "decode", [0.1, 0.2, 0.3, 0.4, 1.0], batch_size=6, tokens=256, flops_per_image=1e9,
        matmul_rate=4e10, device="cpu",
    )  # fmt: skip
    assert speed.median == 0.3
    assert speed.p90 == pytest.approx(np.quantile([0.1, 0.2, 0.3, 0.4, 1.0], 0.9))
    assert speed.images_per_second == pytest.approx(20.0)
    assert speed.tokens_per_second == pytest.approx(5120.0)
    assert speed.matmul_share == pytest.approx(0.5)
    assert speed.median_low is not None
    assert 0.1 <= speed.median_low <= 0.3 <= (speed.median_high or 0) <= 1.0
    assert speed.peak_host_mib > 10
    assert speed.peak_device_mib is None


def test_a_batch_grows_while_it_pays() -> None:
    rates = {1: 10.0, 2: 19.0, 4: 30.0, 8: 31.0, 16: 99.0}
    best, tried = best_batch_size(lambda size: rates[size])
    assert (best, sorted(tried)) == (8, [1, 2, 4, 8])


def test_memory_that_runs_out_ends_the_search_and_is_survived() -> None:
    def rate(size: int) -> float:
        if size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return float(size)

    assert best_batch_size(rate)[0] == 4
    with pytest.raises(torch.OutOfMemoryError):
        best_batch_size(lambda size: rate(size + 8))
    with pytest.raises(ZeroDivisionError):
        best_batch_size(lambda size: size / (size - 2))


def test_operations_of_a_product_by_hand() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    with torch.inference_mode(), counted_flops() as counted:
        _ = a @ b
    assert counted() == 2 * 3 * 5 * 7


def test_the_clock_leaves_the_first_block_out_of_seconds_an_image(monkeypatch) -> None:
    ticks = iter([0.0, 9.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr("layton_bench.clock.time.perf_counter", lambda: next(ticks))
    clock = Clock()
    for images in (4, 2, 2):
        with clock.phase("decode", images=images):
            pass
    assert clock.seconds["decode"] == 15.0
    assert clock.seconds_per_image("decode") == pytest.approx((2 + 4) / 4)
    assert clock.seconds_per_image("encode") is None


def test_photographs_are_repeated_as_often_as_needed() -> None:
    images = photographs(12, 32)
    assert (images.shape, images.dtype) == ((12, 3, 32, 32), torch.uint8)
    assert torch.equal(images[0], images[10])
    assert not torch.equal(images[0], images[1])


def test_the_command_times_one_model_or_two_in_turn(bench: Bench) -> None:
    words = ("--batch-sizes", "1,2", "--resolution", "64", "--seconds", "0", "--repeats", "2")
    outcome = bench("time", "--model", "identity", "--model", "jpeg-q10", *words, "--json")
    assert outcome.code == 0
    told = json.loads(outcome.out)
    assert [(s["phase"], s["batch_size"]) for s in told["speeds"]["jpeg-q10"]] == [
        ("encode", 1), ("decode", 1), ("encode", 2), ("decode", 2),
    ]  # fmt: skip
    assert told["ratios"]["2"]["encode"]["num_pairs"] >= 2
    table = bench("time", "--model", "identity", *words)
    assert "images/s" in table.out
    assert bench("time", "--model", "titok-l-32", "--resolution", "512").code == 2
    three = [word for name in ("identity", "jpeg-q1", "jpeg-q2") for word in ("--model", name)]
    assert bench("time", *three).code == 2
