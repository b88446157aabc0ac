"""What phase `gpt` starts from: the transformer, its text encoder, and the codes of the sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layton.generator import GPT, TEXT_FOLDER, WordEncoder, load_gpt, load_words
from layton.tokenizer import read_vq
from layton.training.data.sources import codebook_of
from layton.training.errors import DataError
from layton.training.start import keep_variance, project_codes, with_prefix_keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from layton.generator import GPTConfig, WordsConfig

__all__ = ["common_codebook", "text_encoder", "transformer"]


def transformer(config: GPTConfig, *, init: Path | None, codebook: Path | None, digest: str) -> GPT:
    """Return the transformer that training starts from.

    Args:
        config: its sizes.
        init: an earlier transformer to continue; None makes a new one.
        codebook: a VQ tokenizer; a new transformer starts from its code vectors.
        digest: of the codebook that the sources' codes belong to; empty if not known.

    Raises:
        DataError: `codebook` is another codebook than the sources'.
    """
    if init is None:
        gpt = GPT(config)
        if codebook is not None:
            project_codes(gpt, _code_vectors(codebook, digest, config.codebook_size))
        return gpt
    gpt = load_gpt(init, config=config)
    if config.prefix_keys and not gpt.config.prefix_keys:
        gpt = with_prefix_keys(gpt)
    return gpt


def text_encoder(config: WordsConfig, gpt: GPT, *, init: Path | None) -> WordEncoder:
    """Return the text encoder that training starts from.

    Args:
        config: its words and sizes.
        gpt: a new encoder's transformer; its projection of the features starts at their scale.
        init: an earlier generator's folder; its encoder is continued if the folder holds one.

    Raises:
        DataError: the encoder in `init` has other words or sizes.
    """
    folder = None if init is None else init / TEXT_FOLDER
    if folder is None or not folder.is_dir():
        encoder = WordEncoder(config)
        keep_variance(gpt.cls_embedding)
        return encoder
    encoder = load_words(folder)
    if encoder.config != config:
        raise DataError(
            "init",
            f"the text encoder in {folder} has other words or sizes",
            "Use the captions' words and the table [words] that it was trained with.",
        )
    return encoder


def common_codebook(folders: Sequence[Path]) -> str:
    """Return the digest of the codebook that all extracted folders share; empty if not known.

    Raises:
        DataError: they have codes of different codebooks.
    """
    codebooks = {codebook for folder in folders if (codebook := codebook_of(folder))}
    if len(codebooks) > 1:
        raise DataError(
            "data.sources", "hold codes of different codebooks", "Extract all with one tokenizer."
        )
    return codebooks.pop() if codebooks else ""


def _code_vectors(folder: Path, digest: str, codebook_size: int) -> Tensor:
    quantizer = read_vq(folder).quantize
    if digest and quantizer.digest != digest:
        raise DataError(
            "codebook", f"{folder} has other codes than the sources", "Name the sources' tokenizer."
        )
    if quantizer.codebook_size != codebook_size:
        raise DataError(
            "codebook",
            f"{folder} has {quantizer.codebook_size} codes",
            f"The transformer has gpt.codebook_size = {codebook_size}.",
        )
    return quantizer.embedding.weight.detach()
