"""The published models by name: sizes, samplers, and the LoRA that each file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from layton.errors import ConfigError
from layton.tokenizer.config import SamplerConfig, TokenizerConfig

__all__ = ["NAMED_MODELS", "NamedModel", "named_model"]


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
    """

    label: str
    config: TokenizerConfig
    lora_rank: int | None
    lora_alpha: float = 8.0
    acceleration: tuple[str, str] | None = None
    note: str

    @property
    def lora_scale(self) -> float | None:
        """Factor on the LoRA's product; None without LoRA."""
        return None if self.lora_rank is None else self.lora_alpha / self.lora_rank


def _steps(steps: int, kind: Literal["consistency", "ddim"] = "consistency") -> TokenizerConfig:
    return TokenizerConfig(sampler=SamplerConfig(kind=kind, steps=steps))


_HYPER_SD = ("ByteDance/Hyper-SD", "Hyper-SDXL-1step-lora.safetensors")
_TLCM = ("AIGCer-OPPO/TLCM", "lora_model")
_STAR = "trained on the constructed high-quality data"

NAMED_MODELS: Mapping[str, NamedModel] = {
    "layton-h": NamedModel(
        label="Layton-H", config=_steps(1), lora_rank=64, note="HyperSD acceleration, 1–2 steps"
    ),
    "layton-h-star": NamedModel(
        label="Layton-H*",
        config=_steps(1),
        lora_rank=64,
        note=f"HyperSD acceleration, 1–2 steps, {_STAR}",
    ),
    "layton-t": NamedModel(
        label="Layton-T", config=_steps(3), lora_rank=64, note="TLCM acceleration, 2–3 steps"
    ),
    "layton-t-star": NamedModel(
        label="Layton-T*",
        config=_steps(3),
        lora_rank=64,
        note=f"TLCM acceleration, 2–3 steps, {_STAR}",
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
