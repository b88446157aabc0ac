"""The tokenizers in the folders of models, described from their files' headers alone."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from layton.errors import CheckpointError, ConfigError
from layton.tokenizer import NAMED_MODELS, TokenizerConfig, config_from_json
from layton.weights import content_digest
from layton.weights.shipped import PACKAGED, model_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_log = logging.getLogger(__name__)

_ENCODES = ("encoder.", "quant_conv.")
_UNUSED = ("vae.encoder.", "vae.quant_conv.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipped:
    """A tokenizer in one of `layton.weights.shipped.model_folders`, by the name of its folder."""

    folder: Path
    config: TokenizerConfig
    encoder_params: int
    decoder_params: int

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What tables show; a folder of the user also has a digest, as names may recur."""
        return title_of(self.folder, self.files())

    def files(self) -> tuple[Path, ...]:
        """Return every file that its pictures depend on."""
        return (self.folder / "config.json", self.folder / "model.safetensors")


def find_shipped(*folders: Path) -> list[Shipped]:
    """Return the tokenizers in `folders`; other models are skipped.

    Without folders: those of LAYTON_MODELS and of the package. The first one with a name counts.
    """
    found: dict[str, Shipped] = {}
    for folder in folders or model_folders():
        for path in sorted(folder.glob("*/config.json")):
            for shipped in _read(path):
                note_hidden(found.setdefault(shipped.name, shipped).folder, shipped.folder)
    return list(found.values())


def note_hidden(used: Path, found: Path) -> None:
    """Log that a model is hidden by another one of the same name."""
    if used != found:
        _log.warning("%s is not used: %s has the same name and comes first", found, used)


def title_of(folder: Path, files: Iterable[Path]) -> str:
    """Return the title of the model in a folder."""
    name = folder.name.replace("laytongen", "LaytonGen")
    title = name[:1].upper() + name[1:]
    return title if folder.parent == PACKAGED else f"{title} ({content_digest(files)})"


def _read(path: Path) -> Iterator[Shipped]:
    weights = path.with_name("model.safetensors")
    try:
        config = config_from_json(path.read_text(), source=str(path))
    except ConfigError:
        return  # a generator: see `shipped_generators`
    if path.parent.name in NAMED_MODELS or not weights.is_file():
        return  # a published name keeps its meaning
    try:
        sizes = tensor_sizes(weights)
    except CheckpointError as error:
        # a damaged file must not hide the other models; loading it by name shows the error
        _log.warning("%s", error)
        return
    encoder = sum(n for key, n in sizes.items() if key.startswith(_ENCODES))
    unused = sum(n for key, n in sizes.items() if key.startswith(_UNUSED))
    yield Shipped(
        folder=path.parent,
        config=config,
        encoder_params=encoder,
        decoder_params=sum(sizes.values()) - encoder - unused,
    )


def tensor_sizes(path: Path) -> dict[str, int]:
    """Return the number of elements of each tensor in a safetensors file, from its header.

    Raises:
        CheckpointError: it is not such a file.
    """
    try:
        with safe_open(path, "np") as file:
            return {key: math.prod(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 no mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(str(path), f"is not a safetensors file ({error})") from None
