"""How fast a generator is, for its record: seconds a picture alone, pictures a second in batches.

Measured before the run, while the metrics' networks are not at work: on a few prompts of the suite,
each drawn once beforehand to warm up. What is drawn is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from layton_bench.errors import LaytonBenchError, guarded, reason_of
from layton_bench.machine import peak_device_mib, peak_host_mib, reset_peak
from layton_bench.models import CallCost, Generator, TellsCost
from layton_bench.records import Throughput
from layton_bench.run.engine.candidates import SeedOf
from layton_bench.run.speed.timing import (
    Effort,
    best_batch_size,
    duration,
    measure,
    warm_up,
)
from layton_bench.types import Prompt, Stage

NUM_PROMPTS = 4
"""Enough to have several lengths, few enough to draw each once for nothing."""

MIN_CALLS = 3
MAX_CALLS = 20
LARGEST_BATCH = 64

MIN_SECONDS = 30.0
SHARE_OF_RUN = 0.1
"""Measuring may take a tenth of the run's own time, and half a minute in any case: half of it for
pictures drawn alone, half for batches."""


def measure_throughput(
    generator: Generator,
    prompts: Sequence[Prompt],
    seed_of: SeedOf,
    *,
    device: str,
    num_images: int,
    held_mib: float = 0.0,
    nfe: int | None = None,
) -> Throughput:
    """Measure a generator; one that fails has the reason in place of values.

    Args:
        generator: the model.
        prompts: to draw in turn; one that the generator fails on is left out.
        seed_of: prompt's key and number of the picture → seed.
        device: where the model runs.
        num_images: pictures of the whole run.
        held_mib: what was held on the device before the model was loaded.
        nfe: forward passes of the denoiser, where the generator tells none itself.

    Raises:
        CtrlC: Ctrl-C.
    """
    import torch

    draws = _Draws(generator, seed_of)
    reset_peak(device)
    with torch.inference_mode():
        reason = draws.try_out(prompts)
        if not draws.prompts:
            return Throughput(unavailable=reason)
        try:
            with guarded():
                alone = _alone(draws, device, num_images)
        except LaytonBenchError as error:
            return Throughput(unavailable=reason_of(error))
        peak = peak_device_mib(device)
        host = peak_host_mib()
        best, rates = _batches(draws, device, alone)
    p50, p90, p99 = (float(q) for q in np.quantile(alone.seconds, (0.5, 0.9, 0.99)))
    cost = alone.costs[-1]
    own_peak = None if peak is None else peak - held_mib
    return Throughput(
        seconds_p50=p50, seconds_p90=p90, seconds_p99=p99, num_calls=len(alone.seconds),
        stage_seconds=_medians([told.seconds for told in alone.costs]),
        images_per_second=rates, best_batch_size=best, best_images_per_second=rates[best],
        peak_host_mib=host if cost.peak_host_mib is None else cost.peak_host_mib,
        peak_device_mib=own_peak if cost.peak_device_mib is None else cost.peak_device_mib,
        nfe=nfe if cost.nfe is None else cost.nfe,
    )  # fmt: skip


@dataclass(slots=True)
class _Draws:
    """Calls of a generator on its prompts in turn, each picture from another seed."""

    generator: Generator
    seed_of: SeedOf
    prompts: list[Prompt] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def try_out(self, prompts: Sequence[Prompt]) -> str:
        """Draw each prompt once and keep those that can be drawn; the last failure's reason."""
        reason = "there is no prompt"
        for prompt in prompts:
            try:
                with guarded():
                    self.generator.generate([prompt], [self.seed_of(prompt.key)])
                self.prompts.append(prompt)
            except LaytonBenchError as error:
                reason = reason_of(error)
        return reason

    def __call__(self, batch_size: int) -> None:
        """Draw the next pictures."""
        turns = [divmod(next(self._numbers), len(self.prompts)) for _ in range(batch_size)]
        prompts = [self.prompts[index] for _, index in turns]
        seeds = [self.seed_of(self.prompts[index].key, repeat=turn) for turn, index in turns]
        self.generator.generate(prompts, seeds)

    def cost(self) -> CallCost:
        """What the generator tells of the latest call."""
        if isinstance(self.generator, TellsCost):
            return self.generator.latest_cost()
        return CallCost()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alone:
    """Pictures drawn alone: the time and cost of each, and how long batches may be tried."""

    seconds: Sequence[float]
    costs: Sequence[CallCost]
    seconds_left: float


def _alone(draws: _Draws, device: str, num_images: int) -> _Alone:
    call = partial(draws, 1)
    warm_up(call, device)
    seconds: list[float] = []
    costs: list[CallCost] = []
    budget = MIN_SECONDS
    while len(seconds) < MIN_CALLS or (len(seconds) < MAX_CALLS and sum(seconds) < budget / 2):
        seconds.append(duration(call, device))
        costs.append(draws.cost())
        budget = max(MIN_SECONDS, SHARE_OF_RUN * num_images * seconds[0])
    return _Alone(seconds=seconds, costs=costs, seconds_left=budget / 2)


def _batches(draws: _Draws, device: str, alone: _Alone) -> tuple[int, dict[int, float]]:
    """Best batch size, and pictures a second at every size tried; an error ends the search."""
    effort = Effort(min_repeats=3, min_seconds=0.2)
    at_one = 1 / float(np.median(alone.seconds))

    def rate(size: int) -> float:
        if size == 1:
            return at_one
        return size / float(np.median(measure(partial(draws, size), device, effort)))

    # four calls of two pictures each that a batch may not speed up
    if 8 / at_one > alone.seconds_left:
        return 1, {1: at_one}
    return best_batch_size(
        rate, largest=LARGEST_BATCH, seconds=alone.seconds_left, is_end=lambda _: True
    )


def _medians(calls: Sequence[Mapping[Stage, float]]) -> dict[Stage, float]:
    stages = dict.fromkeys(stage for call in calls for stage in call)
    return {s: float(np.median([call.get(s, 0.0) for call in calls])) for s in stages}
