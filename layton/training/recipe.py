"""A recipe file: validated fields, TOML, and overrides from the command line.

    phase = "vq"
    output = "runs/vq"
    [[stages]]
    steps = 2000
    batch_size = 16
    size_px = 128
    [[data.sources]]
    path = "images"

Relative paths are relative to the working directory. Every field below is a possible line of a
recipe. Further fields of a phase are in its module under layton/training/phases.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from layton.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DataRecipe",
    "EvaluationRecipe",
    "OptimizerRecipe",
    "RunRecipe",
    "SourceRecipe",
    "Stage",
    "StrictModel",
    "read_toml",
    "validate",
    "with_overrides",
]


class StrictModel(BaseModel):
    """A frozen table of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SourceRecipe(StrictModel):
    """One source of training samples."""

    path: Path
    """A folder of images, of WebDataset shards (*.tar), a Hugging Face data set (a folder or hub
    id), or a folder of codes and latents that `layton extract` wrote."""
    kind: Literal["images", "shards", "dataset", "extracted"] = "images"
    """Kind of source at the path."""
    repeat: PositiveInt = 1
    """How often an epoch shows each of its samples."""
    image_column: str = "image"
    """Column of the pictures in a Hugging Face data set."""
    caption_column: str = "text"
    """Column of the captions in a Hugging Face data set."""


class DataRecipe(StrictModel):
    """Where samples come from, and how images become square tensors."""

    sources: tuple[SourceRecipe, ...] = Field(min_length=1)
    """Sources, mixed by size × repeat."""
    resize_px: PositiveInt | None = None
    """Side to which an image's shorter side is resized before a crop of the stage's size is taken;
    None resizes to the stage's size; the crop is then the whole square."""
    min_area: float = Field(default=1.0, gt=0.0, le=1.0)
    """Least share of the image's square that is cut out at random and enlarged (1: the centre)."""
    flip: bool = True
    """Mirror every other image."""
    color_jitter: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Brightness, contrast and saturation are each multiplied by up to 1 ± this."""
    num_workers: NonNegativeInt = 0
    """Processes that read ahead; 0 reads in the training process."""


class Stage(StrictModel):
    """A stretch of training at one image size (progressive resolution is several)."""

    steps: PositiveInt
    """Optimiser steps."""
    batch_size: PositiveInt
    """Images of one optimiser step, over all processes and accumulated passes together."""
    size_px: PositiveInt
    """Side of the images."""


class OptimizerRecipe(StrictModel):
    """AdamW and its learning rate."""

    lr: PositiveFloat = 1e-4
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the two moments."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay, on matrices and convolutions only."""
    warmup_steps: NonNegativeInt = 0
    """Steps of linear warm-up from 0."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """After the warm-up."""
    final_lr: NonNegativeFloat = 0.0
    """Learning rate at which cosine ends, as a share of the peak."""
    clip_norm: PositiveFloat | None = 1.0
    """Gradients of a greater global norm are scaled down to it."""


class EvaluationRecipe(StrictModel):
    """Runs of the benchmark on the model as it is, while it trains."""

    every: PositiveInt
    """Steps between runs."""
    suite: str
    """A suite of layton-bench, of the exported model's image size."""
    data_root: Path | None = None
    """Folder of the suite's data, if it needs any."""
    limit: PositiveInt | None = None
    """Only so many samples."""


class RunRecipe(StrictModel):
    """What all phases have in common."""

    output: Path
    """Folder of the run: checkpoints, logs, and at the end the exported model."""
    seed: int = 0
    """Of initial weights, data order, crops and noise."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Stretches of training, one after the other."""
    data: DataRecipe
    """Samples."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    """Optimiser of the trained weights."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Autocast of the forward pass; weights stay float32."""
    accumulate: PositiveInt = 1
    """Forward and backward passes of one optimiser step."""
    ema_decay: float | None = Field(default=0.999, gt=0.0, lt=1.0)
    """Decay of the moving average of the weights, which is exported; None exports the weights."""
    channels_last: bool = True
    """Lay images and weights out for convolution."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more work."""
    log_every: PositiveInt = 10
    """Steps between lines of losses.jsonl and TensorBoard points (each an average)."""
    sample_every: PositiveInt | None = 500
    """Steps between image grids of the fixed samples."""
    num_samples: PositiveInt = 8
    """Images of a grid."""
    checkpoint_every: PositiveInt = 500
    """Steps between checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints that stay."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where losses and grids also go."""
    evaluation: EvaluationRecipe | None = None
    """Benchmark runs while training."""

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        for number, stage in enumerate(self.stages, 1):
            if stage.batch_size % self.accumulate:
                raise ValueError(
                    f"stage {number}: batch_size {stage.batch_size} is not a multiple of"
                    f" accumulate {self.accumulate}"
                )
        return self

    @property
    def num_steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that step belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        raise IndexError(step)


def read_toml(path: Path) -> dict[str, Any]:
    """A recipe file's tables, not yet validated.

    Raises:
        ConfigError: no such file, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            str(path), f"cannot be read ({error.strerror})", "Check the path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"is no TOML ({error})", "Correct the file.") from None


def with_overrides(tables: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of the tables with `a.b=value` set; value is read as TOML, else as a plain string.

    A number in the path is a place in a list: `stages.0.steps=100`.

    Raises:
        ConfigError: an override without "=", or a path through something that is not a table.
    """
    import copy

    result = copy.deepcopy(tables)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {override}", "is not of the form a.b=value")
        try:
            target: Any = result
            for key in keys[:-1]:
                target = (
                    target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
                )
            last: Any = int(keys[-1]) if isinstance(target, list) else keys[-1]
            target[last] = _value(text)
        except (TypeError, ValueError, IndexError, AttributeError):
            raise ConfigError(f"--set {override}", f"{path} leads through no table") from None
    return result


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


R = TypeVar("R", bound=StrictModel)


def validate(kind: type[R], tables: dict[str, Any], *, source: Path) -> R:
    """Tables → a recipe of that kind.

    Raises:
        ConfigError: an unknown or missing field or a value that makes no sense, by name.
    """
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'the recipe'}: {e['msg']}" for e in error.errors()
        ]
        raise ConfigError(str(source), "\n  ".join(lines), "Correct the recipe.") from None
