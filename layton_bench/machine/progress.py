"""Who is told how far a long piece of work has come."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Told how work goes on; the command line draws a progress bar from it."""

    def start(self, title: str, total: int) -> None:
        """A pass over ``total`` samples begins."""

    def advance(self, count: int) -> None:
        """That many more samples are dealt with."""

    def finish(self) -> None:
        """The pass is over."""


class Silent:
    """A reporter that tells nobody."""

    def start(self, title: str, total: int) -> None:
        """Ignore."""

    def advance(self, count: int) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""
