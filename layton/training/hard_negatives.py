"""Hard negative captions: what is false of a picture, made of its caption by exchanging words.

A caption with two colours says little more of a picture than the two colours; which is whose is one
bit of the fifty that the picture costs, and plain cross-entropy hardly feels it. A caption that
differs in that bit alone does, if the picture is to be likelier under its own. (Swapped words as
hard negatives: NegCLIP, Yuksekgonul et al., arXiv 2210.01936, there of a contrastive model.)
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
    """Which words make a caption false, and how much that counts."""

    weight: PositiveFloat
    """Of `contrastive_loss` beside the cross-entropy."""
    swapped: tuple[str, ...] = ()
    """Where a caption has two different ones of these words, they change places."""
    replaced: dict[str, str] = Field(default_factory=dict)
    """Words, each with what stands in its place."""

    @field_validator("swapped", "replaced")
    @classmethod
    def _single_words(
        cls, value: tuple[str, ...] | dict[str, str]
    ) -> tuple[str, ...] | dict[str, str]:
        said = [*value, *value.values()] if isinstance(value, dict) else value
        for text in said:
            if split_words(text) != [text]:
                raise ValueError(f"{text!r} is no single word in lower case")
        return value


def neighbours(captions: Iterable[str]) -> Neighbours:
    """All pairs of neighbouring words of the captions."""
    return frozenset(pair for caption in captions for pair in pairwise(split_words(caption)))


def hard_negatives(caption: str, recipe: HardNegativesRecipe, known: Neighbours) -> list[str]:
    """The captions that differ from one in one exchange or one replacement, in lower case.

    None where it has no such words, or more than two different `swapped` ones. The articles a and
    an follow the word behind them.

    Args:
        caption: what is true of a picture.
        recipe: which words are exchanged.
        known: the captions' neighbours. A negative with others is left out: it would be told by
            them alone, and captions held out from training would be named in it.
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
    """−log of the chance that a picture was drawn from its own caption, not the negative.

    By Bayes' rule with both as likely beforehand: log(1 + exp(own − negative)).

    Args:
        own: −log p(image | its caption) in nats an image, (B,).
        negative: −log p(image | the negative), (B,).

    Returns:
        Nats an image, (B,).
    """
    return F.softplus(own - negative)
