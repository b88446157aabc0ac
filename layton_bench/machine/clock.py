"""Wall time and floating-point operations by phase of a run, and by stage of a generator."""

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
    """Seconds spent in each phase, with the device's queue drained at every border.

    Attributes:
        device: whose queue.
        seconds: wall time of each phase.
        latest: the phase that was entered last, which is where an error arose.
        flops: operations an image of each phase that said how many images it had, counted once by
            torch's own counter (a multiply-add is two); 0 for work outside torch.
    """

    device: str = "cpu"
    seconds: dict[Phase, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    latest: Phase = "load"
    flops: dict[Phase, float] = field(default_factory=dict)
    _blocks: dict[Phase, list[tuple[int, float]]] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: Phase, *, images: int = 0) -> Iterator[None]:
        """Add the block's wall time to a phase; with ``images``, count its operations once."""
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
        """Of a phase that said its images, without its first block, which warms up; None for none.

        A phase of one block alone has that block's time.
        """
        (first_images, first), (images, seconds) = self._blocks.get(name, [(0, 0.0), (0, 0.0)])
        if images > first_images:
            return (seconds - first) / (images - first_images)
        return seconds / images if images else None

    def _note(self, name: Phase, images: int, spent: float) -> None:
        """Keep the first block and the sum of all."""
        first, (count, seconds) = self._blocks.get(name, [(images, spent), (0, 0.0)])
        self._blocks[name] = [first, (count + images, seconds + spent)]


class StageClock:
    """Seconds of each stage of one call of a generator.

    Calling it gives a context: ``with clock("text"): …``.

    Args:
        device: whose queue is drained at every border.
    """

    def __init__(self, device: str) -> None:
        self.seconds: dict[Stage, float] = {}
        self._device = device

    def restart(self) -> None:
        """Forget the call before."""
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
    """Count the block's floating-point operations; yields a function that tells them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        yield counter.get_total_flops


def synchronize(device: str) -> None:
    """Wait until the device has done all it was given."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()
