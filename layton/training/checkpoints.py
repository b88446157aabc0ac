"""Checkpoints: written whole or not at all, pruned, and found again.

    OUTPUT/checkpoints/step-00000500/   what accelerate saves: weights, optimiser, EMA, scaler

Only trained weights and buffers are kept. Frozen parts are read from their own files again.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import DistributedType
from safetensors.torch import load_file, save_file

from layton.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator
    from torch import nn

__all__ = ["Checkpoints"]

_STEP = re.compile(r"step-(\d{8})")
# accelerate shards these itself, and needs the whole models
_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run.

    Attributes:
        folder: of all checkpoints.
        accelerator: saves and loads what was prepared with it.
        keep: how many of the newest checkpoints stay.
    """

    folder: Path
    accelerator: Accelerator
    keep: int

    def __post_init__(self) -> None:
        """Save trained weights only."""
        if self.accelerator.distributed_type not in _SHARDED:
            self.accelerator.register_save_state_pre_hook(self._save_trained)
            self.accelerator.register_load_state_pre_hook(self._load_trained)

    def newest(self) -> tuple[int, Path] | None:
        """(step, folder) of the newest whole checkpoint, if there is one."""
        found = [
            (int(match[1]), path)
            for path in self.folder.glob("step-*")
            if (match := _STEP.fullmatch(path.name))
        ]
        return max(found, default=None)

    def save(self, step: int) -> None:
        """Write the state after `step` optimiser steps, then remove the oldest ones."""
        target = self.folder / f"step-{step:08d}"
        scratch = self.folder / f".writing-{step:08d}"
        main = self.accelerator.is_main_process
        if main:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(scratch))
        self.accelerator.wait_for_everyone()
        if main:
            shutil.rmtree(target, ignore_errors=True)
            scratch.rename(target)
            for old in sorted(self.folder.glob("step-*"))[: -self.keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def load(self, path: Path) -> None:
        """Restore a state.

        Raises:
            CheckpointError: another recipe wrote it, or it is damaged.
        """
        try:
            self.accelerator.load_state(str(path))
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            raise CheckpointError(
                str(path), f"does not fit this recipe ({error})", "Use another output folder."
            ) from None

    def _save_trained(
        self, models: list[nn.Module], weights: list[dict[str, Any]], folder: str
    ) -> None:
        # accelerate writes what is left in `weights`: nothing
        weights.clear()
        if not self.accelerator.is_main_process:
            return
        for number, model in enumerate(models):
            inner = self.accelerator.unwrap_model(model)
            kept = _kept(inner)
            state = {k: v.contiguous() for k, v in inner.state_dict().items() if k in kept}
            save_file(state, f"{folder}/trained-{number}.safetensors")

    def _load_trained(self, models: list[nn.Module], folder: str) -> None:
        for number, model in enumerate(models):
            inner = self.accelerator.unwrap_model(model)
            state = load_file(f"{folder}/trained-{number}.safetensors")
            if state.keys() != _kept(inner):
                raise ValueError("other parameters are trained")
            inner.load_state_dict(state, strict=False)
        models.clear()


def _kept(model: nn.Module) -> set[str]:
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return (set(model.state_dict()) - frozen) | getattr(model, "averaged", set())
