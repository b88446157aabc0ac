"""The tokenizers that ship inside the layton package, read from their files' headers alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layton.config import TokenizerConfig, config_from_json
from layton.errors import ConfigError
from layton.shipped import model_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENCODES = ("encoder.", "quant_conv.")
_UNUSED = ("vae.encoder.", "vae.quant_conv.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipped:
    """A model in layton/pretrained, by the name of its folder."""

    name: str
    config: TokenizerConfig
    encoder_params: int
    decoder_params: int


def find_shipped(*folders: Path) -> list[Shipped]:
    """The tokenizers in `folders`, by name; other models there are passed by.

    Without folders: those of LAYTON_MODELS and of the package, the first of a name.
    """
    found: dict[str, Shipped] = {}
    for folder in folders or model_folders():
        for path in sorted(folder.glob("*/config.json")):
            for shipped in _read(path):
                found.setdefault(shipped.name, shipped)
    return list(found.values())


def _read(path: Path) -> Iterator[Shipped]:
    weights = path.with_name("model.safetensors")
    try:
        config = config_from_json(path.read_text(), source=str(path))
    except ConfigError:
        return  # a generator, which has a plugin of its own
    if not weights.is_file():
        return
    sizes = _sizes(weights)
    encoder = sum(n for key, n in sizes.items() if key.startswith(_ENCODES))
    unused = sum(n for key, n in sizes.items() if key.startswith(_UNUSED))
    yield Shipped(
        name=path.parent.name,
        config=config,
        encoder_params=encoder,
        decoder_params=sum(sizes.values()) - encoder - unused,
    )


def _sizes(path: Path) -> dict[str, int]:
    # a safetensors file begins with the length of its JSON header, 8 bytes little-endian
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {k: math.prod(v["shape"]) for k, v in header.items() if k != "__metadata__"}
