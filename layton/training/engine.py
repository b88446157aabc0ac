"""The training loop of every phase, on Hugging Face accelerate.

    for each stage: for each batch: forward, backward, clip, step; at intervals log, draw, save

Accelerate handles processes, precision, FSDP and DeepSpeed (`accelerate launch`). This file reads
top to bottom.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from torch import Tensor

from layton.errors import ConfigError
from layton.training.checkpoints import Checkpoints
from layton.training.data.seeds import derive
from layton.training.data.stream import Stream, collate, make_loader, opened
from layton.training.errors import NonFiniteLossError
from layton.training.evaluation import evaluate
from layton.training.optim import learning_rate, make_optimizer
from layton.training.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layton.training.data.stream import Batch
    from layton.training.phases.base import Outcome, Phase, PhaseRecipe

__all__ = ["Trainer", "train"]


def train(recipe: PhaseRecipe) -> Path:
    """Run a recipe to its end, from its newest checkpoint if it has one; return the model's folder.

    Raises:
        LaytonError: a part or the data is missing or does not fit.
        NonFiniteLossError: a loss is NaN or infinite.
    """
    return Trainer(recipe).run()


class Trainer:
    """One run: everything prepared, and the loop."""

    def __init__(self, recipe: PhaseRecipe) -> None:
        self.recipe = recipe
        self.accelerator = Accelerator(
            # without it, processes that torchrun starts on CPUs would not find each other
            cpu=not torch.accelerator.is_available(),
            mixed_precision=recipe.mixed_precision,
            gradient_accumulation_steps=recipe.accumulate,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            log_with=list(recipe.trackers) or None,
            project_dir=str(recipe.output),
        )
        self._require_even_shares()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(recipe.seed, "weights"))
            phase = recipe.build()
        if recipe.channels_last:
            phase.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(
            phase.trained_parameters(), recipe.optimizer, lr_scales=phase.lr_scales()
        )
        self.adversary, self.adversary_optimizer = self._prepare_adversary(phase)
        self.module, self.optimizer = self.accelerator.prepare(phase, optimizer)
        self.phase: Phase = self.accelerator.unwrap_model(self.module)
        self.ema = self._average()
        self.stream = Stream(recipe.data, seed=recipe.seed)
        self.checkpoints = Checkpoints(
            recipe.output / "checkpoints", self.accelerator, recipe.keep_checkpoints
        )
        self.reporter = Reporter(recipe, self.accelerator)
        self._fixed: Batch | None = None

    def run(self) -> Path:
        """Train from the newest checkpoint to the end, and export."""
        step = self._restore()
        with self.reporter.running(step):
            for batch, done in self._steps(step):
                self._after(batch, done)
        return self.export()

    def export(self) -> Path:
        """Write the model (its average, if there is one) and return its folder."""
        folder = self.recipe.output / "model"
        if self.accelerator.is_main_process:
            with self._averaged():
                self.phase.eval().export(folder)
                self.phase.train()
        self.accelerator.wait_for_everyone()
        return folder

    def _steps(self, step: int) -> Iterator[tuple[Batch, int]]:
        """Train; yields each step's last batch, and the number of steps done."""
        recipe = self.recipe
        self.phase.train()
        end = position = 0
        for stage in recipe.stages:
            start, end = end, end + stage.steps
            position += stage.steps * stage.batch_size
            if step >= end:
                continue
            first = position - (end - step) * stage.batch_size
            loader = make_loader(
                self.stream, recipe, stage, first_position=first, num_steps=end - max(step, start)
            )
            for passes, read in enumerate(self.accelerator.prepare_data_loader(loader), 1):
                batch = opened(read)
                self.reporter.note(self._train_on(batch, step))
                if passes % recipe.accumulate == 0:
                    step += 1
                    yield batch, step

    def _train_on(self, batch: Batch, step: int) -> Outcome:
        recipe = self.recipe
        if recipe.channels_last and "images" in batch:
            batch["images"] = batch["images"].contiguous(memory_format=torch.channels_last)
        # only dropout draws from torch's own generator
        torch.manual_seed(derive(recipe.seed, "dropout", step, self.accelerator.process_index))
        players = [self.module] if self.adversary is None else [self.module, self.adversary]
        with self.accelerator.accumulate(*players):
            outcome: Outcome = self.module(batch, step)
            self._require_finite(outcome.loss, batch, step)
            norm = self._descend(outcome.loss, self.module, self.optimizer, step)
            if self.accelerator.sync_gradients:
                outcome.parts["grad_norm"] = norm
            if self.adversary is not None and outcome.fake is not None:
                loss = self.adversary(batch["images"], outcome.fake)
                self._require_finite(loss, batch, step)
                self._descend(loss, self.adversary, self.adversary_optimizer, step)
                outcome.parts["discriminator"] = loss.detach()
        if self.ema is not None and self.accelerator.sync_gradients:
            self.ema.step(list(self.phase.trained_parameters()))
        return outcome

    def _descend(self, loss: Tensor, module: torch.nn.Module, optimizer: Any, step: int) -> Tensor:
        recipe = self.recipe.optimizer
        self.accelerator.backward(loss)
        norm = loss.new_zeros(())
        if self.accelerator.sync_gradients:
            limit = recipe.clip_norm or math.inf
            trained = [p for p in module.parameters() if p.requires_grad]
            norm = torch.as_tensor(self.accelerator.clip_grad_norm_(trained, limit))
            rate = learning_rate(step, self.recipe.num_steps, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]
        optimizer.step()
        optimizer.zero_grad()
        return norm.detach()

    def _after(self, batch: Batch, step: int) -> None:
        """Report, draw, save and evaluate after a step, where it is due."""
        recipe, last = self.recipe, step == self.recipe.num_steps
        self.phase.after_step(batch, step)
        self.reporter.stepped(step, num_samples=recipe.stage_at(step - 1).batch_size)
        if recipe.sample_every and (last or step % recipe.sample_every == 0):
            self._draw(step)
        if last or step % recipe.checkpoint_every == 0:
            self.checkpoints.save(step)
        plan = recipe.evaluation
        if plan is not None and (last or step % plan.every == 0):
            folder = self.export()
            if self.accelerator.is_main_process:
                self.reporter.evaluated(step, evaluate(plan, folder))

    def _draw(self, step: int) -> None:
        if not self.accelerator.is_main_process:
            return
        if self._fixed is None:
            self._fixed = self._fixed_samples()
        with self._averaged(), torch.no_grad(), self.accelerator.autocast():
            rows = self.phase.eval().previews(self._fixed)
            self.phase.train()
        self.reporter.draw(step, rows)

    def _fixed_samples(self) -> Batch:
        """Return the first samples of the stream, without random cuts or mirroring."""
        recipe = self.recipe
        plain = recipe.data.model_copy(
            update={"min_area": 1.0, "flip": False, "color_jitter": 0.0, "resize_px": None}
        )
        stream = Stream(plain, seed=recipe.seed)
        size_px = recipe.stages[-1].size_px
        batch = collate([stream[i, size_px] for i in range(recipe.num_samples)])
        device = self.accelerator.device
        return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}

    def _restore(self) -> int:
        found = self.checkpoints.newest()
        if found is None:
            return 0
        step, path = found
        self.checkpoints.load(path)
        return step

    def _prepare_adversary(self, phase: Phase) -> tuple[Any, Any]:
        if phase.adversary is None:
            return None, None
        if self.recipe.channels_last:
            phase.adversary.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(phase.adversary.parameters(), self.recipe.optimizer)
        prepared: tuple[Any, Any] = self.accelerator.prepare(phase.adversary, optimizer)
        return prepared

    def _average(self) -> Any:
        if self.recipe.ema_decay is None:
            return None
        ema = EMAModel(list(self.phase.trained_parameters()), decay=self.recipe.ema_decay)
        ema.to(self.accelerator.device)
        self.accelerator.register_for_checkpointing(ema)
        return ema

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Replace the trained weights by their moving average while the context is open."""
        if self.ema is None:
            yield
            return
        trained = list(self.phase.trained_parameters())
        self.ema.store(trained)
        self.ema.copy_to(trained)
        try:
            yield
        finally:
            self.ema.restore(trained)

    def _require_even_shares(self) -> None:
        passes, processes = self.recipe.accumulate, self.accelerator.num_processes
        for number, stage in enumerate(self.recipe.stages, 1):
            if stage.batch_size % (passes * processes):
                raise ConfigError(
                    f"stages.{number - 1}.batch_size",
                    f"{stage.batch_size} cannot be divided evenly by {processes} processes"
                    f" and {passes} passes",
                    f"Use a multiple of {passes * processes}.",
                )

    def _require_finite(self, loss: Tensor, batch: Batch, step: int) -> None:
        everyone = self.accelerator.gather(loss.detach().reshape(1))
        if bool(everyone.isfinite().all()):
            return
        rank = self.accelerator.process_index
        path = self.recipe.output / f"non-finite-step-{step}-process-{rank}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.contiguous().cpu() for k, v in batch.items() if isinstance(v, Tensor)}, path
        )
        raise NonFiniteLossError(
            f"step {step}",
            f"the loss is {loss.item():g}; its batch is in {path}",
            "Lower optimizer.lr or clip_norm, or use float32. The newest checkpoint is kept.",
        )
