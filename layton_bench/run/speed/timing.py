"""How fast a model is: warmed up, device-synchronised, with intervals; two models interleaved.

A measurement repeats a call until it has at least ``min_repeats`` durations and ``min_seconds``
in all. Intervals of median and p90 are the bootstrap's percentile intervals. A ratio of two models
is taken from calls in turn (A B A B …), so that a machine whose speed drifts slows both alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.errors import LaytonBenchError, guarded
from layton_bench.intervals import bootstrap
from layton_bench.machine import (
    counted_flops,
    is_out_of_memory,
    peak_device_mib,
    peak_host_mib,
    recover,
    synchronize,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_WARM_UPS = 10
STEADY = 0.1  # two calls in a row within 10 % of each other count as warm
GAIN = 1.05  # a doubled batch must be this much faster to go on growing


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure: at least so many repeats and so many seconds."""

    min_repeats: int = 5
    min_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One phase of a model at one batch size.

    Attributes:
        phase: ``encode``, ``decode`` or ``generate``.
        batch_size: images a call.
        seconds: duration of each call, in order, without warm-up.
        median, p90: of the durations, in seconds.
        median_low, median_high: 95 % interval of the median; None below two calls.
        p90_low, p90_high: likewise of the p90, which of few calls is little below the slowest.
        images_per_second: batch size / median.
        tokens_per_second: of models with codes.
        parameters: of the encoder or decoder, by the model's card; a generator's are the decoder's.
        flops_per_image: by torch's counter; None where it sees none.
        matmul_share: achieved operations a second / the machine's measured matmul rate.
        peak_host_mib: largest resident size of the process during the calls; outside Linux, since
            it began.
        peak_device_mib: largest allocation on the device during the calls; None on the CPU.
    """

    phase: str
    batch_size: int
    seconds: tuple[float, ...]
    median: float
    p90: float
    median_low: float | None
    median_high: float | None
    p90_low: float | None
    p90_high: float | None
    images_per_second: float
    tokens_per_second: float | None
    parameters: int | None
    flops_per_image: float | None
    matmul_share: float | None
    peak_host_mib: float
    peak_device_mib: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Durations of A / durations of B, call by call: above 1, B is faster."""

    median: float
    low: float
    high: float
    num_pairs: int


def warm_up(call: Callable[[], object], device: str) -> int:
    """Call until two durations in a row agree; returns how many calls it took."""
    previous = duration(call, device)
    for count in range(2, MAX_WARM_UPS + 1):
        latest = duration(call, device)
        if abs(latest - previous) <= STEADY * previous:
            return count
        previous = latest
    return MAX_WARM_UPS


def duration(call: Callable[[], object], device: str) -> float:
    """Seconds of one call, the device's queue drained before and after."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def measure(call: Callable[[], object], device: str, effort: Effort) -> tuple[float, ...]:
    """Durations after warm-up, as many as the effort asks for."""
    warm_up(call, device)
    seconds: list[float] = []
    while len(seconds) < effort.min_repeats or sum(seconds) < effort.min_seconds:
        seconds.append(duration(call, device))
    return tuple(seconds)


def measure_in_turn(
    first: Callable[[], object], second: Callable[[], object], device: str, effort: Effort
) -> Ratio:
    """Ratio of two calls' durations, in turn; its interval is over the pairs."""
    warm_up(first, device)
    warm_up(second, device)
    ratios: list[float] = []
    spent = 0.0
    while len(ratios) < effort.min_repeats or spent < 2 * effort.min_seconds:
        a, b = duration(first, device), duration(second, device)
        ratios.append(a / b)
        spent += a + b
    values = np.array(ratios)
    low, high = bootstrap(lambda rows: float(np.median(values[rows])), len(values), seed=0)
    middle = float(np.median(values))
    return Ratio(
        median=middle,
        low=middle if low is None else low,
        high=middle if high is None else high,
        num_pairs=len(values),
    )


def summarise(
    phase: str,
    seconds: Sequence[float],
    *,
    batch_size: int,
    tokens: int | None,
    parameters: int | None = None,
    flops_per_image: float | None,
    matmul_rate: float | None,
    device: str,
) -> Speed:
    """Statistics of measured durations."""
    values = np.array(seconds)
    median = float(np.median(values))
    low, high = _quantile_interval(values, 0.5)
    p90_low, p90_high = _quantile_interval(values, 0.9)
    images = batch_size / median
    share = None
    if flops_per_image and matmul_rate:
        share = flops_per_image * images / matmul_rate
    return Speed(
        phase=phase,
        batch_size=batch_size,
        seconds=tuple(seconds),
        median=median,
        p90=float(np.quantile(values, 0.9)),
        median_low=low,
        median_high=high,
        p90_low=p90_low,
        p90_high=p90_high,
        images_per_second=images,
        tokens_per_second=None if tokens is None else tokens * images,
        parameters=parameters,
        flops_per_image=flops_per_image,
        matmul_share=share,
        peak_host_mib=peak_host_mib(),
        peak_device_mib=peak_device_mib(device),
    )


def _quantile_interval(
    values: NDArray[np.float64], quantile: float
) -> tuple[float | None, float | None]:
    return bootstrap(lambda rows: float(np.quantile(values[rows], quantile)), len(values), seed=0)


def flops_of(call: Callable[[], object], batch_size: int) -> float | None:
    """Operations an image of one call; None where torch sees none."""
    with counted_flops() as counted:
        call()
    return counted() / batch_size or None


def matmul_rate(device: str, dtype: str) -> float:
    """Floating-point operations a second of a square matrix product: the yardstick."""
    import torch

    size = 8192 if device.startswith("cuda") else 2048  # large enough to keep the device busy
    a = torch.ones(size, size, device=device, dtype=getattr(torch, dtype))
    seconds = measure(lambda: a @ a, device, Effort(min_repeats=5, min_seconds=0.5))
    return 2 * size**3 / float(np.median(seconds))


def best_batch_size(
    images_per_second: Callable[[int], float],
    *,
    largest: int = 256,
    seconds: float = math.inf,
    is_end: Callable[[Exception], bool] = is_out_of_memory,
) -> tuple[int, dict[int, float]]:
    """Double the batch while it pays; running out of memory ends the search and is recovered from.

    Args:
        images_per_second: measures one batch size; may raise an out-of-memory error.
        largest: where to stop at the latest.
        seconds: no batch is begun that is expected to end after so many, each taking twice as
            long as the one before.
        is_end: whether an error above batch size 1 ends the search instead of being raised.

    Returns:
        The best batch size and every rate measured.

    Raises:
        The error of batch size 1, if not even that fits.
    """
    rates: dict[int, float] = {}
    size, began, latest = 1, time.perf_counter(), 0.0
    while size <= largest and time.perf_counter() - began + 2 * latest <= seconds:
        start = time.perf_counter()
        try:
            with guarded():
                rates[size] = images_per_second(size)
        except LaytonBenchError as error:
            if not rates or not is_end(error):
                raise
            recover(error)
            break
        latest = time.perf_counter() - start
        if size > 1 and rates[size] < GAIN * rates[size // 2]:
            break
        size *= 2
    return max(rates, key=lambda tried: rates[tried]), rates
