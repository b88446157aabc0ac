"""What every command shares: the consoles, the progress bar, the plugins, the error message."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from layton_bench.errors import UserError
from layton_bench.registry import Plugins

_log = logging.getLogger(__name__)

# A pipe has no width. In this one, no table of a suite is folded.
_PIPED = None if "COLUMNS" in os.environ else 160

err = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPED)
out = Console(width=None if sys.stdout.isatty() else _PIPED)


@dataclass
class State:
    """The options before the command, and the command line itself."""

    extra_plugins: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @cached_property
    def plugins(self) -> Plugins:
        """Everything that is registered. Broken plugins are named once on stderr."""
        plugins = Plugins(self.extra_plugins)
        for info in plugins.infos:
            if info.error is not None:
                _log.warning(
                    "plugin '%s' of %s is left out: %s", info.name, info.distribution, info.error
                )
        return plugins


class BarReporter:
    """A progress bar on stderr, with images per second and the time remaining."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def start(self, title: str, total: int) -> None:
        """Show the bar."""
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=err,
        )  # fmt: skip
        self._task = self._progress.add_task(title, total=total, rate="")
        self._progress.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._progress is None:
            return
        self._progress.advance(self._task, count)
        speed = self._progress.tasks[0].speed
        rate = f"{speed:.1f} images/s" if speed else ""
        self._progress.update(self._task, rate=rate)

    def finish(self) -> None:
        """Stop the bar and leave it on the screen."""
        if self._progress is not None:
            self._progress.stop()


def show_error(error: UserError) -> None:
    """Print what is wrong, why, and what to do, on stderr."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(f"{error.thing}: {error.reason}.", markup=False, highlight=False, soft_wrap=True)
    err.print(error.remedy, markup=False, highlight=False, soft_wrap=True)
