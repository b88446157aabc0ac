"""LaytonGen: the autoregressive transformer learns the codes of captioned images (L_CE).

Cross-entropy of every image token given the caption and the tokens before it. A share of the
samples has no caption: guidance needs an unconditional model (arXiv 2503.08377; LlamaGen, arXiv
2406.06525). Codes come from `layton extract`. So do T5's features, unless a small text encoder is
trained together with the transformer.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from layton.generator import (
    GPT,
    TEXT_FOLDER,
    CodeGenerator,
    GeneratorSettings,
    GPTConfig,
    Guidance,
    WordEncoder,
    WordsConfig,
    save_gpt,
    save_words,
    vocabulary,
    write_generator,
)
from layton.training.data.seeds import sample_mask
from layton.training.data.sources import Extracted
from layton.training.errors import DataError
from layton.training.hard_negatives import (
    HardNegativesRecipe,
    Neighbours,
    contrastive_loss,
    hard_negatives,
    neighbours,
)
from layton.training.phases.base import Outcome, Phase, PhaseRecipe
from layton.training.phases.gpt_parts import common_codebook, text_encoder, transformer
from layton.training.recipe import StrictModel

if TYPE_CHECKING:
    from layton.generator import CodeDecoder
    from layton.training.data.stream import Batch

__all__ = ["GPTPhase", "Recipe", "WordsRecipe"]

_PREVIEW_SCALE = 3.0  # CFG scale of the previews where the recipe names none


class WordsRecipe(StrictModel):
    """A text encoder trained with the transformer; its vocabulary is the captions' words."""

    depth: PositiveInt = 2
    """Blocks."""
    num_heads: PositiveInt = 4
    """Attention heads."""
    max_words: PositiveInt = 32
    """Longest caption."""
    lr_scale: float = Field(default=0.1, gt=0.0)
    """Factor on the learning rate of this encoder and its projection. At the full rate they first
    learn what all captions share, and then cannot distinguish them."""


class Recipe(PhaseRecipe):
    """Recipe of phase `gpt`."""

    phase: Literal["gpt"]
    """Which phase."""
    gpt: GPTConfig
    """Sizes of the transformer; text_dim is the text encoder's width too."""
    words: WordsRecipe | None = None
    """A text encoder trained with it; without it the sources must hold text features."""
    condition_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of samples whose caption is replaced by the null condition."""
    hard_negatives: HardNegativesRecipe | None = None
    """False captions, under which images must become less likely; needs a table [words]."""
    init: Path | None = None
    """A transformer to start from: a folder (with its text encoder, if it holds one) or a published
    file."""
    codebook: Path | None = None
    """The tokenizer of phase `vq` that made the codes. A new transformer then starts by knowing
    which codes are similar; see `layton.training.start`."""
    tokenizer: Path | None = None
    """A Layton tokenizer folder; its decoder makes the previews."""
    generator: GeneratorSettings | None = None
    """The tokenizer's name, and how to sample. They are exported as generator.json, by which
    `layton-bench` finds the generator."""

    @model_validator(mode="after")
    def _negatives_are_of_words(self) -> Self:
        if self.hard_negatives is not None and self.words is None:
            raise ValueError(
                "hard_negatives: extracted features cannot be changed; add a table [words]"
            )
        return self

    def build(self, *, for_sizes: bool = False) -> GPTPhase:
        """See `PhaseRecipe.build`."""
        extracted = [source.path for source in self.data.sources if source.kind == "extracted"]
        digest = common_codebook(extracted)
        init = None if for_sizes else self.init
        gpt = transformer(
            self.gpt, init=init, codebook=None if for_sizes else self.codebook, digest=digest
        )
        words, known = None, Neighbours()
        if self.words is not None:
            captions = [caption for path in extracted for caption in Extracted(path).captions]
            config = WordsConfig(
                words=vocabulary(captions),
                width=self.gpt.text_dim,
                **self.words.model_dump(exclude={"lr_scale"}),
            )
            words = text_encoder(config, gpt, init=init)
            if self.hard_negatives is not None:
                _require_known(config.words, self.hard_negatives)
                known = neighbours(captions)
        return GPTPhase(self, gpt, words, codebook=digest, known=known)


class GPTPhase(Phase):
    """The transformer, its text encoder if it has one, and the cross-entropy."""

    def __init__(
        self,
        recipe: Recipe,
        gpt: GPT,
        words: WordEncoder | None,
        *,
        codebook: str = "",
        known: Neighbours = frozenset(),
    ) -> None:
        super().__init__()
        self._codebook = codebook
        self._known = known
        self._recipe = recipe
        self.gpt = gpt.requires_grad_(True)
        self.words = words
        self._decoder: CodeDecoder | None = None

    def forward(self, batch: Batch, step: int) -> Outcome:  # noqa: ARG002 no stage depends on it
        """Return the cross-entropy of the batch's codes in nats per token; see `Phase.forward`.

        Hard negatives add their weight times the mean over samples of each sample's summed
        `contrastive_loss`.
        """
        count = len(batch["seeds"])
        dropped = sample_mask(batch["seeds"], self._recipe.condition_dropout, purpose="condition")
        rows, negatives = self._negatives(batch, dropped)
        nats = self._nats(batch, dropped, rows, negatives)
        own, false = nats[:count], nats[count:]
        loss = own.mean()
        parts = {"bits_per_token": loss.detach() / math.log(2.0)}
        if self._recipe.hard_negatives is not None:
            told = contrastive_loss(own[rows].sum(1), false.sum(1)).sum() / count
            loss = loss + self._recipe.hard_negatives.weight * told
            parts["hard_negatives"] = told.detach()
        return Outcome(loss=loss, parts=parts)

    def _nats(self, batch: Batch, dropped: Tensor, rows: list[int], negatives: list[str]) -> Tensor:
        """−log p of each token, (B + K, N): all samples, then some rows under other captions."""
        rows = [*range(len(dropped)), *rows]
        codes, dropped = self._codes(batch)[rows], dropped[rows]
        captions = [*batch["captions"], *negatives]
        condition, mask = self._condition(batch | {"captions": captions})
        logits = self.gpt(condition, codes[:, :-1], mask=mask, dropped=dropped)
        nats = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
        return nats.view_as(codes)

    @torch.no_grad()
    def previews(self, batch: Batch) -> Tensor:
        """Return the decoded codes, and images drawn from the captions."""
        codes = self._codes(batch)
        decoder = self._open_decoder()
        if decoder is None:  # the codes themselves, as grey levels
            side, size = self.gpt.config.grid_side, self.gpt.config.codebook_size
            grey = codes.view(1, -1, 1, side, side).float() / size * 2.0 - 1.0
            return grey.expand(-1, -1, 3, -1, -1)
        seeds = list(range(len(codes)))
        said = self._recipe.generator
        drawn = CodeGenerator(self.gpt).generate(
            self._features(batch),
            seeds=seeds,
            guidance=said.guidance if said else Guidance(scale=_PREVIEW_SCALE),
            sampling=said.sampling if said else None,
        )
        return torch.stack([decoder.decode(each.clone(), seeds) for each in (codes, drawn)])

    def lr_scales(self) -> dict[nn.Parameter, float]:
        """See `Phase.lr_scales`."""
        if self.words is None or self._recipe.words is None:
            return {}
        slow = [*self.words.parameters(), *self.gpt.cls_embedding.parameters()]
        return dict.fromkeys(slow, self._recipe.words.lr_scale)

    def meta_batch(self, batch_size: int, size_px: int) -> Batch:
        """See `Phase.meta_batch`."""
        del size_px
        config = self.gpt.config
        length = config.num_prefix_tokens

        def empty(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.empty(batch_size, *shape, dtype=dtype, device="meta")

        return {
            "seeds": empty(),
            "codes": empty(config.num_tokens),
            "captions": [""] * batch_size,
            "text_features": empty(length, config.text_dim, dtype=torch.float32),
            "text_lengths": empty(),
        }

    def export(self, folder: Path) -> None:
        """Write the transformer's folder, with the text encoder in `text`, and generator.json."""
        save_gpt(self.gpt, folder)
        if self.words is not None:
            save_words(self.words, folder / TEXT_FOLDER)
        if self._recipe.generator is not None:
            settings = self._recipe.generator
            write_generator(replace(settings, codebook=settings.codebook or self._codebook), folder)

    def _negatives(self, batch: Batch, dropped: Tensor) -> tuple[list[int], list[str]]:
        """Return the hard negatives of the captions that are not dropped, and their rows."""
        recipe = self._recipe.hard_negatives
        if recipe is None:
            return [], []
        if dropped.is_meta:
            return list(range(len(dropped))), [""] * len(dropped)
        silent = dropped.tolist()
        found = [
            (row, negative)
            for row, caption in enumerate(batch["captions"])
            if not silent[row]
            for negative in hard_negatives(caption, recipe, self._known)
        ]
        return [row for row, _ in found], [negative for _, negative in found]

    def _codes(self, batch: Batch) -> Tensor:
        if "codes" not in batch:
            raise DataError("data.sources", "hold no codes", "Run `layton extract` first.")
        codes: Tensor = batch["codes"]
        return codes

    def _condition(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features (B, T, text_dim) and their mask (B, T)."""
        if self.words is not None and batch["seeds"].is_meta:
            shape = (len(batch["captions"]), self.words.config.max_words)
            numbers = torch.empty(shape, dtype=torch.int64, device="meta")
            mask = torch.ones(shape, dtype=torch.bool, device="meta")
            return self.words(numbers, mask), mask
        if self.words is not None:
            numbers, mask = self.words.pad(batch["captions"])
            return self.words(numbers, mask), mask
        if "text_features" not in batch:
            raise DataError(
                "data.sources", "hold no text features", "Extract them, or add a table [words]."
            )
        features: Tensor = batch["text_features"]
        places = torch.arange(features.shape[1], device=features.device)
        mask = places >= features.shape[1] - batch["text_lengths"][:, None]
        return features, mask

    def _features(self, batch: Batch) -> list[Tensor]:
        """Features of each caption, (n, text_dim), without padding."""
        features, mask = self._condition(batch)
        return [row[valid] for row, valid in zip(features, mask, strict=True)]

    def _open_decoder(self) -> CodeDecoder | None:
        if self._decoder is None and self._recipe.tokenizer is not None:
            from layton.generator import LaytonDecoder
            from layton.tokenizer import Tokenizer

            tokenizer = Tokenizer.from_pretrained(self._recipe.tokenizer)
            self._decoder = LaytonDecoder(tokenizer, cond_scale=None)
        return self._decoder


def _require_known(words: tuple[str, ...], recipe: HardNegativesRecipe) -> None:
    if unknown := sorted({*recipe.swapped, *recipe.replaced.values()}.difference(words)):
        raise DataError(
            "hard_negatives",
            f"has words that are in no caption: {', '.join(unknown)}",
            "Remove them, or use the captions' words.",
        )
