"""The published models by name: sizes, samplers, and the LoRA that each file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from layton.errors import ConfigError
from layton.tokenizer.config import SamplerConfig, TokenizerConfig

__all__ = ["NAMED_MODELS", "PUBLISHED", "NamedModel", "named_model", "published_in"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedModel:
    """One published configuration.

    Attributes:
        label: how tables show it.
        config: sizes and step schedule.
        lora_rank: rank of the LoRA inside the released tokenizer file; None: the U-Net is plain.
        lora_alpha: PEFT's lora_alpha of that LoRA; its scale is lora_alpha / lora_rank.
        acceleration: (hub repository, file or folder) of the LoRA to merge on top; None where
            the released file already has it inside.
        note: how the model differs from the others.
        file: (hub repository, file) of the published tokenizer; None: none is known.
    """

    label: str
    config: TokenizerConfig
    lora_rank: int | None
    lora_alpha: float = 8.0
    acceleration: tuple[str, str] | None = None
    note: str
    file: tuple[str, str] | None = None

    @property
    def lora_scale(self) -> float | None:
        """Factor on the LoRA's product; None without LoRA."""
        return None if self.lora_rank is None else self.lora_alpha / self.lora_rank


def _steps(steps: int, kind: Literal["consistency", "ddim"] = "consistency") -> TokenizerConfig:
    return TokenizerConfig(sampler=SamplerConfig(kind=kind, steps=steps))


_HYPER_SD = ("ByteDance/Hyper-SD", "Hyper-SDXL-1step-lora.safetensors")
_TLCM = ("AIGCer-OPPO/TLCM", "lora_model")
_STAR = "trained on the constructed high-quality data"
_T_STAR_FILE = ("OPPOer/LaCTok", "LaCTok-T.pth")  # as the official repository names it
PUBLISHED = "layton-t-star"
"""The tokenizer to use where no file is known."""

NAMED_MODELS: Mapping[str, NamedModel] = {
    "layton-h": NamedModel(
        label="Layton-H", config=_steps(1), lora_rank=64, note="HyperSD acceleration, 1 step"
    ),
    "layton-h-star": NamedModel(
        label="Layton-H*",
        config=_steps(1),
        lora_rank=64,
        note=f"HyperSD acceleration, 1 step, {_STAR}",
    ),
    "layton-t": NamedModel(
        label="Layton-T",
        config=_steps(3),
        lora_rank=64,
        note="TLCM acceleration, 3 steps as in the released sampler",
    ),
    "layton-t-2steps": NamedModel(
        label="Layton-T, 2 steps",
        config=_steps(2),
        lora_rank=64,
        note="TLCM acceleration, 2 steps as in the abstract",
    ),
    "layton-t-star": NamedModel(
        label="Layton-T*",
        config=_steps(3),
        lora_rank=64,
        note=f"TLCM acceleration, 3 steps as in the released sampler, {_STAR}",
        file=_T_STAR_FILE,
    ),
    "layton-t-star-2steps": NamedModel(
        label="Layton-T*, 2 steps",
        config=_steps(2),
        lora_rank=64,
        note=f"TLCM acceleration, 2 steps as in the abstract, {_STAR}",
        file=_T_STAR_FILE,
    ),
    "layton-ladd": NamedModel(
        label="LADD",
        config=_steps(25, "ddim"),
        lora_rank=None,
        note="phase 1 only: 25-step DDIM, no acceleration, no pixel loss",
    ),
    "layton-ladd-hyper": NamedModel(
        label="LADD + HyperSD",
        config=_steps(1),
        lora_rank=None,
        acceleration=_HYPER_SD,
        note="phase 1 accelerated by HyperSD, no pixel loss",
    ),
    "layton-ladd-tlcm": NamedModel(
        label="LADD + TLCM",
        config=_steps(3),
        lora_rank=None,
        acceleration=_TLCM,
        note="phase 1 accelerated by TLCM, no pixel loss",
    ),
}

# the paper's tables also write -L for -T
_ALIASES = {"layton-l": "layton-t", "layton-l-star": "layton-t-star"}


def named_model(name: str) -> NamedModel:
    """Look a model up by name or alias.

    Raises:
        ConfigError: no model has that name.
    """
    model = NAMED_MODELS.get(_ALIASES.get(name, name))
    if model is None:
        raise ConfigError(name, "no such model", f"Known: {', '.join(NAMED_MODELS)}.")
    return model


def published_in(repository: str, file: str = "") -> str | None:
    """Return the first model whose published file is in that repository, or has that name.

    An empty string matches all.
    """
    for name, model in NAMED_MODELS.items():
        if model.file and repository in ("", model.file[0]) and file in ("", model.file[1]):
            return name
    return None
