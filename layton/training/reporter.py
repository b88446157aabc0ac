"""What a run reports: a progress bar, losses.jsonl, TensorBoard or W&B, image grids."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accelerate import Accelerator
    from torch import Tensor

    from layton.training.phases.base import Outcome, PhaseRecipe

__all__ = ["Reporter", "grid"]

_LOSSES = "losses.jsonl"


class Reporter:
    """Numbers and pictures of one run; only the main process writes.

    losses.jsonl gets a line every `log_every` steps: the step, the means over all samples since the
    last line (of all passes and processes), samples per second.
    """

    def __init__(self, recipe: PhaseRecipe, accelerator: Accelerator) -> None:
        self._recipe = recipe
        self._accelerator = accelerator
        self._console = Console(stderr=True)
        self._sums: dict[str, tuple[Tensor, int]] = {}  # each with its number of terms
        self._samples = 0
        self._since = time.perf_counter()
        self._progress: Progress | None = None
        self._task: Any = None

    @contextmanager
    def running(self, step: int) -> Iterator[None]:
        """Show progress from `step` on; remove lines that a killed run logged after it."""
        if self._accelerator.is_main_process:
            self._recipe.output.mkdir(parents=True, exist_ok=True)
            self._forget_after(step)
        if self._recipe.trackers:
            self._accelerator.init_trackers("layton")
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
        ]
        shown = self._accelerator.is_main_process and sys.stderr.isatty()
        with Progress(*columns, console=self._console, disable=not shown) as self._progress:
            name = self._recipe.output.name
            self._task = self._progress.add_task(
                name, total=self._recipe.num_steps, completed=step, numbers=""
            )
            self._since = time.perf_counter()
            yield
        if self._recipe.trackers:
            self._accelerator.end_training()

    def note(self, outcome: Outcome) -> None:
        """Add the numbers of one forward pass."""
        for name, value in {"loss": outcome.loss, **outcome.parts}.items():
            value = value.detach().float().reshape(())
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = total + value, count + 1

    def stepped(self, step: int, *, num_samples: int) -> None:
        """Show an optimiser step; every `log_every` steps write the means."""
        self._samples += num_samples
        if step % self._recipe.log_every == 0 or step == self._recipe.num_steps:
            self._log(step)
        if self._progress is not None:
            self._progress.update(self._task, completed=step)

    def draw(self, step: int, rows: Tensor) -> None:
        """Save rows of images (R, n, 3, H, W) in [-1, 1] as samples/step-N.png."""
        picture = grid(rows)
        folder = self._recipe.output / "samples"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"step-{step:08d}.png")
        for tracker in self._accelerator.trackers:
            layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({"samples": picture[None]}, step=step, **layout)

    def evaluated(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a benchmark run."""
        self._write({"step": step, **{f"eval/{name}": value for name, value in values.items()}})

    def _log(self, step: int) -> None:
        # one gather for all numbers
        names = sorted(self._sums)
        stacked = torch.stack([self._sums[name][0] / self._sums[name][1] for name in names])
        means = self._accelerator.reduce(stacked, "mean").tolist()
        now = time.perf_counter()
        rate = self._samples / (now - self._since)
        self._sums, self._samples, self._since = {}, 0, now
        line = {"step": step, **dict(zip(names, means, strict=True)), "samples_per_second": rate}
        if self._accelerator.is_main_process:
            self._write(line)
            text = f"loss {line['loss']:.4g}  {rate:.1f} samples/s"
            if self._progress is not None and not self._progress.disable:
                self._progress.update(self._task, numbers=text)
            else:
                self._console.print(f"step {step}/{self._recipe.num_steps}  {text}")

    def _write(self, line: Mapping[str, float]) -> None:
        with (self._recipe.output / _LOSSES).open("a") as file:
            file.write(json.dumps(line) + "\n")
        step = int(line["step"])
        self._accelerator.log({k: v for k, v in line.items() if k != "step"}, step=step)

    def _forget_after(self, step: int) -> None:
        path = self._recipe.output / _LOSSES
        if path.is_file():
            lines = path.read_text().splitlines()
            # a killed run may have left half a line
            kept = [
                line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step
            ]
            path.write_text("".join(line + "\n" for line in kept))


def grid(rows: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Rows of images (R, n, 3, H, W) in [-1, 1] → one uint8 picture (R·H, n·W, 3)."""
    pixels = ((rows.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()
    count, across, _, height, width = pixels.shape
    whole = pixels.permute(0, 3, 1, 4, 2).reshape(count * height, across * width, 3)
    return np.ascontiguousarray(whole.numpy())
