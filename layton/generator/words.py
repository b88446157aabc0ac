"""A small text encoder over a closed vocabulary, trained together with its transformer.

A generator of a few million parameters uses it in place of T5: words → features.
Axes: P texts, n words of one text, D width.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from layton.errors import ConfigError, PromptError, raising
from layton.generator.text import check_text, shortened
from layton.weights import CONFIG_FILE, WEIGHTS_FILE, load_strict, read_state, write_folder

__all__ = ["WordEncoder", "WordsConfig", "load_words", "save_words", "split_words", "vocabulary"]

_WORD = re.compile(r"\w[\w'-]*")
_SHOWN = 60  # known words named in a message


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class WordsConfig:
    """Sizes of a word encoder.

    Attributes:
        words: the vocabulary, in the order of its embeddings.
        width: of the features; the transformer's text_dim.
        depth, num_heads: of the encoder's blocks.
        max_words: longer texts are refused.
    """

    words: tuple[str, ...]
    width: PositiveInt = 256
    depth: PositiveInt = 2
    num_heads: PositiveInt = 4
    max_words: PositiveInt = 32


class WordEncoder(nn.Module):
    """Texts of known words → one feature vector a word.

    Each word's vector also gets the vector of the word before it, and the product of the two. An
    image token sees the words one by one, or only their mean if there are no prefix keys. Without
    this addition, "red circle" and "blue square" would look like "blue circle" and "red square".

    Case and punctuation do not matter. In evaluation mode each text is run alone. Its features
    then have the same bits in any batch.
    """

    def __init__(self, config: WordsConfig) -> None:
        super().__init__()
        self.config = config
        self._numbers = {word: i for i, word in enumerate(config.words)}
        self.embedding = nn.Embedding(len(config.words), config.width)
        # at the variance that the blocks add: with smaller ones, all texts would look alike
        self.positions = nn.Parameter(torch.randn(config.max_words, config.width) * 0.5)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        # adds nothing at first
        self.previous = nn.Linear(2 * config.width, config.width, bias=False)
        nn.init.normal_(self.embedding.weight)
        nn.init.zeros_(self.previous.weight)

    def numbers(self, text: str) -> Tensor:
        """The words of a text as int64 (n,).

        Raises:
            PromptError: no word, too many, unknown ones, or not valid Unicode.
        """
        check_text(text)
        words, shown = split_words(text), f"prompt {shortened(text)!r}"
        if not words:
            raise PromptError(shown, "has no words", "Describe the picture in words.")
        if len(words) > self.config.max_words:
            raise PromptError(
                shown, f"{len(words)} words, the model takes {self.config.max_words}", "Shorten it."
            )
        unknown = list(dict.fromkeys(w for w in words if w not in self._numbers))
        if unknown:
            raise PromptError(
                shown,
                f"has words that the model does not know: {shortened(', '.join(unknown))}",
                f"It knows: {self._known()}.",
            )
        return torch.tensor([self._numbers[w] for w in words])

    def _known(self) -> str:
        words = self.config.words
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        return ", ".join(words[:_SHOWN]) + more

    def forward(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """Left-padded word numbers (P, T) and their bool mask (P, T) → features (P, T, D)."""
        # positions count from the first word, wherever the padding ends
        places = (mask.cumsum(1) - 1).clamp_min(0)
        own = self.embedding(numbers) * mask[..., None]
        before = F.pad(own[:, :-1], (0, 0, 1, 0))
        taken_in = self.previous(torch.cat((before, own * before), -1))
        x = own + self.positions[places] + taken_in
        for block in self.blocks:
            x = block(x, src_key_padding_mask=~mask)
        out: Tensor = self.norm(x) * mask[..., None]
        return out

    def pad(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts → word numbers int64 (P, T), left-padded with 0, and their bool mask."""
        rows = [self.numbers(text) for text in texts]
        longest = max(len(row) for row in rows)
        numbers = torch.zeros(len(rows), longest, dtype=torch.int64)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            numbers[i, longest - len(row) :] = row
            mask[i, longest - len(row) :] = True
        device = self.positions.device
        return numbers.to(device), mask.to(device)

    def check(self, texts: Sequence[str]) -> None:
        """Raise PromptError for a text that `numbers` refuses."""
        for text in texts:
            self.numbers(text)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """Features of each text, (n, D), as `layton.generator.text.TextEncoder` has it."""
        padded = [self.pad([text]) for text in texts]  # all are checked before any is run
        return [self(numbers, mask)[0] for numbers, mask in padded]


def _block(config: WordsConfig) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        config.width,
        config.num_heads,
        4 * config.width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, without punctuation."""
    return _WORD.findall(text.lower())


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """All words of the texts, sorted."""
    return tuple(sorted({word for text in texts for word in split_words(text)}))


_JSON = TypeAdapter(WordsConfig)


def save_words(encoder: WordEncoder, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write config.json and model.safetensors, which `load_words(folder)` reads."""
    config = _JSON.dump_json(encoder.config, indent=2).decode() + "\n"
    write_folder(folder, encoder.state_dict(), config, dtype=dtype)


def load_words(folder: Path, *, device: torch.device | str = "cpu") -> WordEncoder:
    """Read a word encoder, float32, in evaluation mode.

    Raises:
        CheckpointError: weights that cannot be read or do not fit.
        ConfigError: no config.json, or a broken one.
    """
    path = folder / CONFIG_FILE
    try:
        config = _JSON.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(str(path), f"cannot be read ({error})") from None
    with raising(ConfigError, str(path), "its sizes do not fit together", "Correct the file."):
        encoder = WordEncoder(config)
    state = {key: tensor.float() for key, tensor in read_state(folder / WEIGHTS_FILE).items()}
    load_strict(encoder, state, source=str(folder))
    return encoder.to(device).eval()
