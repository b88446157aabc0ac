"""Timing: repeats, statistics, ratios in turn, growing batches, operations."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from fakes import Scaled, spec
from lab import Bench

from layton_bench.errors import PluginError, UserError
from layton_bench.machine.clock import Clock, counted_flops
from layton_bench.run.speed import time_models as throughput, timing
from layton_bench.run.speed.time_models import NotTimed, TimedModel, photographs, time_models
from layton_bench.run.speed.timing import (
    Effort,
    best_batch_size,
    measure,
    measure_in_turn,
    summarise,
)


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
    assert speed.p90_low is not None
    assert 0.3 <= speed.p90_low <= speed.p90 <= (speed.p90_high or 0) == 1.0
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
    with pytest.raises(PluginError, match="OutOfMemoryError"):
        best_batch_size(lambda size: rate(size + 8))
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        best_batch_size(lambda size: size / (size - 2))


LIMITED = """
import resource, torch
from layton_bench.run.speed.timing import best_batch_size
torch.ones(8) @ torch.ones(8)
used = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, resource.RLIM_INFINITY))

def rate(size):
    held = [torch.ones(size * 2**24) for _ in range(2)]  # 128 MiB a picture
    return float(size)

best, rates = best_batch_size(rate)
again = rate(best)  # the memory is free again
print(best, sorted(rates), again)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory as Linux has")
def test_a_process_that_really_ran_out_of_memory_goes_on_in_good_health() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "4 [1, 2, 4] 4.0"), done.stderr


class Limited(Scaled):
    """Takes longer in its encoder, and runs out of memory or fails above a batch size."""

    def __init__(self, largest: int, error: Exception | None = None) -> None:
        self.largest = largest
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")

    def encode(self, images: torch.Tensor):
        if len(images) > self.largest:
            raise self.error
        return super().encode(images)


def timed(name: str, model: object, **parameters: int) -> TimedModel:
    return TimedModel(
        spec=spec(name, **parameters), model=model, size_px=16, device="cpu", dtype="float32",
        tokens=None,
    )  # fmt: skip


QUICK = Effort(min_repeats=2, min_seconds=0.0)


@pytest.fixture
def _no_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of matrix products takes seconds to measure."""
    monkeypatch.setattr(throughput, "matmul_rate", lambda device, dtype: 1e9)


@pytest.mark.usefixtures("_no_yardstick")
def test_a_batch_that_does_not_fit_costs_no_other() -> None:
    found = time_models([timed("one", Limited(2), encoder_params=7)], [1, 4, 2], QUICK)
    assert [(s.phase, s.batch_size, s.parameters) for s in found.speeds["one"]] == [
        ("encode", 1, 7), ("decode", 1, None), ("encode", 2, 7), ("decode", 2, None),
    ]  # fmt: skip
    assert found.not_timed == {"one": [NotTimed(batch_size=4, reason="out of memory")]}
    broken = time_models([timed("one", Limited(1, ArithmeticError("odd")))], [1, 2], QUICK)
    assert broken.not_timed["one"] == [NotTimed(batch_size=2, reason="ArithmeticError: odd")]


@pytest.mark.usefixtures("_no_yardstick")
def test_nothing_timed_is_an_error_that_says_why() -> None:
    with pytest.raises(UserError, match="'one': it could not be timed: out of memory"):
        time_models([timed("one", Limited(0))], [1, None], QUICK)


@pytest.mark.usefixtures("_no_yardstick")
def test_two_models_are_compared_at_what_both_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_best", lambda timed: timed.model.largest)
    found = time_models([timed("a", Limited(8)), timed("b", Limited(4))], [2, None], QUICK)
    assert list(found.ratios) == [2, 4]
    assert all(r.num_pairs >= 2 for r in found.ratios[4].values())
    found = time_models([timed("a", Limited(8)), timed("b", Limited(4))], [1, 8], QUICK)
    assert list(found.ratios) == [1]
    assert [f.batch_size for f in found.not_timed["b"]] == [8]


def test_operations_of_a_product_by_hand() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    with torch.inference_mode(), counted_flops() as counted:
        _ = a @ b
    assert counted() == 2 * 3 * 5 * 7


def test_the_clock_leaves_the_first_block_out_of_seconds_an_image(monkeypatch) -> None:
    ticks = iter([0.0, 9.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr("layton_bench.machine.clock.time.perf_counter", lambda: next(ticks))
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
