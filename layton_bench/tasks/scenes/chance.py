"""Random choice with a seeded generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

T = TypeVar("T")


def pick(options: Sequence[T], rng: Generator) -> T:
    """Return one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]
