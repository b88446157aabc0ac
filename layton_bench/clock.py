"""Wall time by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

Phase = Literal["load", "encode", "decode", "generate", "metrics"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(slots=True)
class Clock:
    """Seconds spent in each phase, with the device's queue drained at every border.

    Attributes:
        device: whose queue.
        seconds: wall time of each phase.
        latest: the phase that was entered last, which is where an error arose.
    """

    device: str = "cpu"
    seconds: dict[Phase, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    latest: Phase = "load"

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Add the block's wall time to a phase."""
        self.latest = name
        start = time.perf_counter()
        try:
            yield
        finally:
            synchronize(self.device)
            self.seconds[name] += time.perf_counter() - start


def synchronize(device: str) -> None:
    """Wait until the device has done all it was given."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()
