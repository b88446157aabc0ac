"""Hard negatives: false captions of a picture, made by exchanging words of its caption.

A caption with two colours also says which thing has which colour. That is one bit of the fifty that
a picture costs, so plain cross-entropy hardly sees it. A false caption differs in this bit alone.
The picture must be more likely under its own caption than under the false one. (Swapped words as
hard negatives: NegCLIP, Yuksekgonul et al., arXiv 2210.01936, for a contrastive model.)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch.nn.functional as F
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor

from layton.generator import split_words
from layton.training.recipe import StrictModel

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HardNegativesRecipe", "Neighbours", "contrastive_loss", "hard_negatives", "neighbours"]

Neighbours = frozenset[tuple[str, str]]
"""Pairs of a word and the next one."""

_ARTICLES = {"a", "an"}


class HardNegativesRecipe(StrictModel):
    """Which words make a caption false, and the weight of the loss."""

    weight: PositiveFloat
    """Factor on `contrastive_loss`, which is added to the cross-entropy."""
    swapped: tuple[str, ...] = ()
    """If a caption has two different ones of these words, they are exchanged."""
    replaced: dict[str, str] = Field(default_factory=dict)
    """Words, each with its replacement."""

    @field_validator("swapped", "replaced")
    @classmethod
    def _single_words(
        cls, value: tuple[str, ...] | dict[str, str]
    ) -> tuple[str, ...] | dict[str, str]:
        said = [*value, *value.values()] if isinstance(value, dict) else value
        for text in said:
            if split_words(text) != [text]:
                raise ValueError(f"{text!r} is not a single word in lower case")
        return value


def neighbours(captions: Iterable[str]) -> Neighbours:
    """All pairs of neighbouring words of the captions."""
    return frozenset(pair for caption in captions for pair in pairwise(split_words(caption)))


def hard_negatives(caption: str, recipe: HardNegativesRecipe, known: Neighbours) -> list[str]:
    """Return the captions with one exchange or one replacement, in lower case.

    There are none if it has no such words, or more than two different `swapped` ones. The articles
    a and an are adapted to the next word.

    Args:
        caption: what is true of a picture.
        recipe: which words are exchanged.
        known: the captions' neighbours. A negative with other neighbours is skipped: its wording
            alone would betray it, and it could name pairs that are held out from training.
    """
    words = split_words(caption)
    found = []
    named = sorted({word for word in words if word in recipe.swapped})
    if len(named) == 2:
        other = {named[0]: named[1], named[1]: named[0]}
        found.append([other.get(word, word) for word in words])
    for place, word in enumerate(words):
        if word in recipe.replaced:
            found.append([*words[:place], recipe.replaced[word], *words[place + 1 :]])
    worded = [_with_articles(each) for each in found]
    return [" ".join(each) for each in worded if known.issuperset(pairwise(each))]


def _with_articles(words: list[str]) -> list[str]:
    following = [*words[1:], ""]
    return [
        ("an" if after[:1] in set("aeiou") else "a") if word in _ARTICLES else word
        for word, after in zip(words, following, strict=True)
    ]


def contrastive_loss(own: Tensor, negative: Tensor) -> Tensor:
    """Return −log of the probability that a picture belongs to its own caption, not the negative.

    By Bayes' rule, if both are equally likely at first: log(1 + exp(own − negative)).

    Args:
        own: −log p(image | its caption) in nats per image, (B,).
        negative: −log p(image | the negative), (B,).

    Returns:
        Nats per image, (B,).
    """
    return F.softplus(own - negative)
