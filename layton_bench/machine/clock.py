"""Wall time and floating-point operations: per phase of a run, and per stage of a generator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from layton_bench.types import Stage

Phase = Literal["load", "encode", "decode", "generate", "metrics"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(slots=True)
class Clock:
    """Seconds spent in each phase. The device finishes its work before a phase ends.

    Attributes:
        device: device that does the work.
        seconds: wall time of each phase.
        latest: phase that was entered last; an error is from this phase.
        flops: operations per image, for each phase that gave its number of images. They are counted
            once by torch's own counter (a multiply-add is two); 0 for work outside torch.
    """

    device: str = "cpu"
    seconds: dict[Phase, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    latest: Phase = "load"
    flops: dict[Phase, float] = field(default_factory=dict)
    _blocks: dict[Phase, list[tuple[int, float]]] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: Phase, *, images: int = 0) -> Iterator[None]:
        """Add the block's wall time to a phase. With ``images``, count its operations once."""
        self.latest = name
        start = time.perf_counter()
        try:
            if images and name not in self.flops:
                with counted_flops() as counted:
                    yield
                self.flops[name] = counted() / images
            else:
                yield
        finally:
            synchronize(self.device)
            spent = time.perf_counter() - start
            self.seconds[name] += spent
            if images:
                self._note(name, images, spent)

    def seconds_per_image(self, name: Phase) -> float | None:
        """Return the time per image, without the first block, which warms up.

        None if the phase gave no number of images. If there is only one block, its time counts.
        """
        (first_images, first), (images, seconds) = self._blocks.get(name, [(0, 0.0), (0, 0.0)])
        if images > first_images:
            return (seconds - first) / (images - first_images)
        return seconds / images if images else None

    def _note(self, name: Phase, images: int, spent: float) -> None:
        """Keep the first block and the sum of all blocks."""
        first, (count, seconds) = self._blocks.get(name, [(images, spent), (0, 0.0)])
        self._blocks[name] = [first, (count + images, seconds + spent)]


class StageClock:
    """Seconds of each stage of one call of a generator.

    Use it as ``with clock("text"): …``.

    Args:
        device: device that does the work; it finishes before a stage ends.
    """

    def __init__(self, device: str) -> None:
        self.seconds: dict[Stage, float] = {}
        self._device = device

    def restart(self) -> None:
        """Forget the previous call."""
        self.seconds = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Add the block's wall time to a stage."""
        synchronize(self._device)
        start = time.perf_counter()
        try:
            yield
        finally:
            synchronize(self._device)
            spent = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


@contextmanager
def counted_flops() -> Iterator[Callable[[], int]]:
    """Count the block's floating-point operations; yields a function that returns the count."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        yield counter.get_total_flops


def synchronize(device: str) -> None:
    """Wait until the device has finished its work."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()
