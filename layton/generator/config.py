"""Sizes of the autoregressive transformers, how they are sampled, and the published generators.

Sizes and sampling settings are those of the LlamaGen repository (arXiv 2406.06525; README,
GETTING_STARTED.md and the defaults of its sampling scripts) and of the LaCTok demo.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass as validated

from layton.errors import ConfigError

__all__ = ["GENERATORS", "GPTConfig", "GeneratorConfig", "Guidance", "Sampling", "find_generator"]


@validated(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class GPTConfig:
    """A Llama-style transformer over a prefix and a square grid of image tokens.

    Attributes:
        dim, num_layers, num_heads: width, depth, attention heads.
        num_kv_heads: heads of keys and values; None means num_heads.
        condition: what the prefix holds: one class token, or projected text features.
        codebook_size: image codes to choose from.
        num_tokens: image tokens per image, a square number.
        num_prefix_tokens: positions before the image: 1 for a class, the maximum for a text.
        prefix_weight: each prefix position counts as this many equal ones when an image token
            attends. The published models have 1; their prefixes are 20 times as long as a short
            text of a small vocabulary.
        prefix_keys: whether each prefix position has its own key. An image token can then look for
            a word. The published models' keys are zero.
        num_classes: classes of a class-conditional model (its null class is the one after them).
        text_dim: width of the text features of a text-conditional model.
        hidden_multiple: the feed-forward width is rounded up to a multiple of this.
        rope_base, norm_eps: of the rotary positions and of RMSNorm.
        token_dropout, residual_dropout, feed_forward_dropout: in training mode only.
    """

    dim: PositiveInt
    num_layers: PositiveInt
    num_heads: PositiveInt
    num_kv_heads: PositiveInt | None = None
    condition: Literal["class", "text"] = "class"
    codebook_size: PositiveInt = 16384
    num_tokens: PositiveInt = 256
    num_prefix_tokens: PositiveInt = 1
    prefix_weight: PositiveInt = 1
    prefix_keys: bool = False
    num_classes: PositiveInt = 1000
    text_dim: PositiveInt = 2048
    hidden_multiple: PositiveInt = 256
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    token_dropout: float = 0.1
    residual_dropout: float = 0.1
    feed_forward_dropout: float = 0.1

    @property
    def problem(self) -> str:
        """Why these sizes cannot be built; empty if they can."""
        if self.num_tokens != self.grid_side**2:
            return f"num_tokens {self.num_tokens} is not a square"
        if self.dim % self.num_heads or self.head_dim % 4:
            return f"dim {self.dim} over {self.num_heads} heads is not a multiple of 4"
        if self.num_heads % self.kv_heads:
            return f"{self.num_heads} heads cannot share {self.kv_heads} key-value heads evenly"
        if self.condition == "class" and self.num_prefix_tokens != 1:
            return "a class takes exactly one prefix token"
        return ""

    @property
    def grid_side(self) -> int:
        """Side of the token grid."""
        return int(self.num_tokens**0.5 + 0.5)

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.num_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def hidden_dim(self) -> int:
        """Feed-forward width (SwiGLU, arXiv 2002.05202): 2/3 · 4 · dim, rounded up."""
        multiple = self.hidden_multiple
        return -(-(8 * self.dim // 3) // multiple) * multiple


@dataclass(frozen=True, kw_only=True, slots=True)
class Guidance:
    """Classifier-free guidance: the scale w at each image token, w = 1 is off.

    Constant over the tokens [start, stop), off outside. LlamaGen's ``cfg_interval=c`` (the last
    guided decode step, counted from the second token) is ``stop=c + 2``. With `power` the scale
    rises within the interval from 1 towards `scale` (power-cosine, as RAR, arXiv 2411.00776):

        w_i = 1 + (scale − 1) · (1 − cos(π · (i/N)^power)) / 2

    Attributes:
        scale: w.
        start, stop: the guided interval; stop None means to the end.
        power: exponent of the power-cosine schedule; None keeps w constant.
    """

    scale: float = 1.0
    start: int = 0
    stop: int | None = None
    power: float | None = None

    def __post_init__(self) -> None:
        """Refuse impossible schedules."""
        if not math.isfinite(self.scale) or self.scale < 0:
            raise ConfigError("guidance scale", f"{self.scale} is not a scale", "Pass w ≥ 0.")
        if self.start < 0 or (self.stop is not None and self.stop < self.start):
            raise ConfigError(
                "guidance interval", f"[{self.start}, {self.stop})", "Pass 0 ≤ start ≤ stop."
            )
        if self.power is not None and not self.power > 0:
            raise ConfigError("guidance power", f"{self.power} is not above 0", "Pass a power.")

    def weights(self, num_tokens: int) -> list[float]:
        """The scale at each of `num_tokens` steps."""
        stop = num_tokens if self.stop is None else self.stop
        return [
            self._scale(i / num_tokens) if self.start <= i < stop else 1.0
            for i in range(num_tokens)
        ]

    def _scale(self, progress: float) -> float:
        if self.power is None:
            return self.scale
        return 1.0 + (self.scale - 1.0) * (1.0 - math.cos(math.pi * progress**self.power)) / 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a token is drawn from its distribution.

    Attributes:
        temperature: divides the logits; 0 is greedy.
        top_k: keep only so many of the likeliest; 0 is off.
        top_p: keep the likeliest until they hold this much probability; 1.0 is off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not math.isfinite(self.temperature) or self.temperature < 0:
            raise ConfigError("temperature", f"{self.temperature} is below 0", "0 is greedy.")
        if self.top_k < 0:
            raise ConfigError("top_k", f"{self.top_k} is below 0", "0 is off.")
        if not 0 < self.top_p <= 1:
            raise ConfigError("top_p", f"{self.top_p} is not in (0, 1]", "1.0 is off.")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    """A generator: its transformer, its image decoder, how it is sampled.

    Attributes:
        gpt: the transformer.
        tokenizer: name of the tokenizer whose decoder draws the codes.
        guidance, sampling: the settings unless a user says otherwise.
        codebook: digest of that tokenizer's code vectors (`fingerprints.codebook_digest`), where
            known: another of the same sizes would draw nonsense.
    """

    gpt: GPTConfig
    tokenizer: str
    guidance: Guidance
    sampling: Sampling
    codebook: str = ""

    @property
    def settings(self) -> dict[str, float | int]:
        """The settings a user may change, flat: cfg_scale, temperature, top_k, top_p."""
        sampling = self.sampling
        return {
            "cfg_scale": self.guidance.scale,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
        }

    def with_settings(self, settings: Mapping[str, float | int | str]) -> "GeneratorConfig":
        """The same generator under other settings; names beside those of `settings` are ignored.

        Raises:
            ConfigError: a value out of range.
        """
        chosen = self.settings | {
            name: settings[name] for name in self.settings if name in settings
        }
        return replace(
            self,
            guidance=replace(self.guidance, scale=float(chosen["cfg_scale"])),
            sampling=Sampling(
                temperature=float(chosen["temperature"]),
                top_k=int(chosen["top_k"]),
                top_p=float(chosen["top_p"]),
            ),
        )


_SIZES = {
    "b": GPTConfig(dim=768, num_layers=12, num_heads=12),
    "l": GPTConfig(dim=1024, num_layers=24, num_heads=16),
    "xl": GPTConfig(dim=1280, num_layers=36, num_heads=20),
    "xxl": GPTConfig(dim=1536, num_layers=48, num_heads=24),
    "3b": GPTConfig(dim=3200, num_layers=24, num_heads=32),
}
# guidance of the published FID tables (GETTING_STARTED.md), drawn without top-k or top-p
_C2I_SCALES = {"b": 2.0, "l": 2.0, "xl": 1.75, "xxl": 1.75, "3b": 1.65}


def _c2i(size: str, side: int) -> GeneratorConfig:
    return GeneratorConfig(
        gpt=replace(_SIZES[size], num_tokens=side * side),
        tokenizer="llamagen-16",
        guidance=Guidance(scale=_C2I_SCALES[size]),
        sampling=Sampling(),
    )


def _t2i(side: int, tokenizer: str, guidance: Guidance, sampling: Sampling) -> GeneratorConfig:
    gpt = replace(_SIZES["xl"], condition="text", num_tokens=side * side, num_prefix_tokens=120)
    return GeneratorConfig(gpt=gpt, tokenizer=tokenizer, guidance=guidance, sampling=sampling)


def _llamagen_t2i(side: int) -> GeneratorConfig:
    return _t2i(side, "llamagen-16-t2i", Guidance(scale=7.5), Sampling(top_k=1000))


def _laytongen(tokenizer: str) -> GeneratorConfig:
    return _t2i(16, tokenizer, Guidance(scale=2.0), Sampling(temperature=0.1, top_k=1000))


GENERATORS: dict[str, GeneratorConfig] = {
    **{f"llamagen-c2i-{size}": _c2i(size, 16) for size in _SIZES},
    **{f"llamagen-c2i-{size}@384": _c2i(size, 24) for size in _SIZES},
    "llamagen-t2i-xl-256": _llamagen_t2i(16),
    "llamagen-t2i-xl-512": _llamagen_t2i(32),
    "laytongen-h": _laytongen("layton-h"),
    "laytongen-h-star": _laytongen("layton-h-star"),
    "laytongen-t-star": _laytongen("layton-t-star"),
}


def find_generator(name: str) -> GeneratorConfig:
    """The published generator of that name.

    Raises:
        ConfigError: no generator has it.
    """
    if name not in GENERATORS:
        raise ConfigError(name, "no such generator", f"Known: {', '.join(sorted(GENERATORS))}.")
    return GENERATORS[name]
