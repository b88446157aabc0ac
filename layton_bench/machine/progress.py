"""Progress reporting for long tasks."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives the progress of a task; the command line draws a progress bar."""

    def start(self, title: str, total: int) -> None:
        """Start a task with ``total`` samples."""

    def advance(self, count: int) -> None:
        """Count samples that are done."""

    def finish(self) -> None:
        """End the task."""


class Silent:
    """A reporter that shows nothing."""

    def start(self, title: str, total: int) -> None:
        """Ignore."""

    def advance(self, count: int) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""
