"""Texts → features for a text-conditional transformer.

Axes: P texts, n tokens of one text, T longest text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from layton.errors import CheckpointError, PromptError, raising
from layton.generator.captions import clean_caption

__all__ = ["T5TextEncoder", "TextEncoder", "check_text", "left_pad", "shortened"]

_MAX_CHARACTERS = 5000


class TextEncoder(Protocol):
    """Turns texts into features."""

    def check(self, texts: Sequence[str]) -> None:
        """Raise PromptError for one that cannot be used; runs nothing."""

    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """Features of each text, (n, text_dim); PromptError for one that cannot be used."""


def left_pad(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack texts of different lengths; all end at the last position.

    Args:
        features: P tensors (n, text_dim).

    Returns:
        the features with zeros before them, (P, T, text_dim); and a bool mask, (P, T), True where
        a position holds text.
    """
    longest = max(len(text) for text in features)
    padded = features[0].new_zeros(len(features), longest, features[0].shape[1])
    mask = torch.zeros(len(features), longest, dtype=torch.bool, device=padded.device)
    for i, text in enumerate(features):
        padded[i, longest - len(text) :] = text
        mask[i, longest - len(text) :] = True
    return padded, mask


class T5TextEncoder:
    """The encoder of a T5 model (the published generators use flan-T5-XL) over cleaned captions.

    Each text is run alone, without padding. Its features then have the same bits in any batch.

    Args:
        model: a transformers T5EncoderModel in evaluation mode.
        tokenizer: its tokenizer.
        max_tokens: longer texts are cut, as in the official code; the last token ends the text.

    Attributes:
        cut: the texts that were cut.
    """

    def __init__(self, model: Any, tokenizer: Any, *, max_tokens: int = 120) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.cut: set[str] = set()

    @classmethod
    def from_pretrained(
        cls,
        name: Path | str = "google/flan-t5-xl",
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_tokens: int = 120,
    ) -> "T5TextEncoder":
        """Load encoder and tokenizer from a folder, or from a hub by its id.

        Raises:
            CheckpointError: no T5 encoder can be loaded from it.
        """
        from transformers import AutoTokenizer, T5EncoderModel

        failed, remedy = "no T5 encoder can be loaded", "Pass a folder that holds one."
        with raising(CheckpointError, str(name), failed, remedy):
            tokenizer = AutoTokenizer.from_pretrained(name)
            tokenizer("a text")  # a damaged one may load
            loaded: Any = T5EncoderModel.from_pretrained(name, output_loading_info=True)
        model, told = loaded
        if missing := sorted(told["missing_keys"]):  # they would stay random
            reason = f"{failed} ({len(missing)} weights are missing, for example {missing[0]})"
            raise CheckpointError(str(name), reason, remedy)
        return cls(model.to(device, dtype).eval(), tokenizer, max_tokens=max_tokens)

    def check(self, texts: Sequence[str]) -> None:
        """Raise what `encode` would, without running the model."""
        for text in texts:
            self._tokens(text)

    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """Features of each text, (n, text_dim) in the model's dtype.

        Raises:
            PromptError: a text is empty after cleaning, or longer than 5,000 characters.
        """
        tokens = [self._tokens(text) for text in texts]
        return [self._features(ids) for ids in tokens]

    def _tokens(self, text: str) -> Tensor:
        check_text(text)
        cleaned = clean_caption(text)
        if not cleaned:
            raise PromptError(
                f"prompt {text!r}", "is empty after cleaning", "Describe the picture in words."
            )
        whole: Tensor = self.tokenizer(cleaned, return_tensors="pt").input_ids
        if whole.shape[1] <= self.max_tokens:
            return whole
        self.cut.add(text)
        ids: Tensor = self.tokenizer(
            cleaned, return_tensors="pt", truncation=True, max_length=self.max_tokens
        ).input_ids
        return ids

    @torch.no_grad()
    def _features(self, ids: Tensor) -> Tensor:
        features: Tensor = self.model(input_ids=ids.to(self.model.device)).last_hidden_state[0]
        return features


def check_text(text: str) -> None:
    """Raise PromptError for a text that is too long or not valid Unicode."""
    # the cleaning rules take quadratic time on some texts
    if len(text) > _MAX_CHARACTERS:
        raise PromptError(f"prompt {shortened(text)!r}", f"{len(text)} characters", "Shorten it.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PromptError(
            f"prompt {shortened(text)!r}", "is not valid Unicode", "Re-encode it as UTF-8."
        ) from None


def shortened(text: str) -> str:
    """Return a text as messages show it, 60 characters at most."""
    return text if len(text) <= 60 else text[:57] + "..."
