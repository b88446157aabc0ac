"""The folder of a generator that `layton train` wrote, read without its weights.

    generator.json                            its tokenizer, and how it is sampled
    config.json, model.safetensors            the transformer (`save_gpt`)
    text/config.json, text/model.safetensors  its text encoder (`save_words`)

The tokenizer is another folder. `shipped.find_folder` finds it by name.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from layton.errors import ConfigError
from layton.generator.config import GeneratorConfig, GPTConfig, Guidance, Sampling

__all__ = [
    "GENERATOR_FILE",
    "TEXT_FOLDER",
    "GeneratorSettings",
    "read_generator",
    "read_gpt_config",
    "write_generator",
]

GENERATOR_FILE = "generator.json"
"""A folder with this file holds a generator."""
TEXT_FOLDER = "text"
"""Sub-folder of its text encoder."""

T = TypeVar("T")


@validated(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class GeneratorSettings:
    """Settings of a generator beside the transformer's weights.

    Attributes:
        tokenizer: name of the tokenizer whose codes the transformer was trained on.
        cfg_scale: guidance w, 1 is off; see `Guidance`.
        temperature, top_k, top_p: see `Sampling`.
        codebook: digest of the tokenizer's code vectors (`fingerprints.codebook_digest`).
            Training sets it.
    """

    tokenizer: str
    cfg_scale: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    codebook: str = ""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _ = self.guidance, self.sampling

    @property
    def guidance(self) -> Guidance:
        """Constant guidance of that scale."""
        return Guidance(scale=self.cfg_scale)

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)


_SETTINGS, _GPT = TypeAdapter(GeneratorSettings), TypeAdapter(GPTConfig)


def write_generator(settings: GeneratorSettings, folder: Path) -> None:
    """Write generator.json into the folder of a transformer; an older one is replaced."""
    partial = folder / f"{GENERATOR_FILE}.partial"
    partial.write_bytes(_SETTINGS.dump_json(settings, indent=2) + b"\n")
    partial.replace(folder / GENERATOR_FILE)


def read_generator(folder: Path) -> GeneratorConfig:
    """Read the settings and sizes in a generator's folder.

    Raises:
        ConfigError: a file is missing or broken, or holds an invalid value.
    """
    settings = _read(folder / GENERATOR_FILE, _SETTINGS)
    return GeneratorConfig(
        gpt=read_gpt_config(folder),
        tokenizer=settings.tokenizer,
        guidance=settings.guidance,
        sampling=settings.sampling,
        codebook=settings.codebook,
    )


def read_gpt_config(folder: Path) -> GPTConfig:
    """Sizes of the transformer in a folder.

    Raises:
        ConfigError: no config.json, or a broken one.
    """
    return _read(folder / "config.json", _GPT)


def _read(file: Path, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(str(file), f"{place}: {first['msg']}", "Correct the file.") from None
