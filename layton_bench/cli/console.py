"""What every command shares: the consoles, the progress bar, the plugins, the table."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from layton_bench.errors import UserError
from layton_bench.leaderboard import Board, cells, headings, is_best, notes
from layton_bench.registry import Plugins

_log = logging.getLogger(__name__)

# Piped output has no width of its own: wide enough that the suites' tables are not folded.
_PIPED = None if "COLUMNS" in os.environ else 160
_WIDE = 200

err = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPED)
out = Console(width=None if sys.stdout.isatty() else _PIPED)


@dataclass
class State:
    """What the options before the command gave, and the command line itself."""

    extra_plugins: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @cached_property
    def plugins(self) -> Plugins:
        """Everything registered; broken plugins are named once on stderr."""
        plugins = Plugins(self.extra_plugins)
        for info in plugins.infos:
            if info.error is not None:
                _log.warning(
                    "plugin '%s' of %s is left out: %s", info.name, info.distribution, info.error
                )
        return plugins


class BarReporter:
    """A progress bar on stderr with throughput and time remaining."""

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
        """Move the bar on."""
        if self._progress is None:
            return
        self._progress.advance(self._task, count)
        speed = self._progress.tasks[0].speed
        rate = f"{speed:.1f} images/s" if speed else ""
        self._progress.update(self._task, rate=rate)

    def finish(self) -> None:
        """Leave the bar as it is."""
        if self._progress is not None:
            self._progress.stop()


def show_error(error: UserError) -> None:
    """What is wrong, why, and what to do now, on stderr."""
    err.print("[bold red]Error:[/] ", end="")
    err.print(f"{error.thing}: {error.reason}.", markup=False, highlight=False, soft_wrap=True)
    err.print(error.remedy, markup=False, highlight=False, soft_wrap=True)


def print_boards(boards: Sequence[Board]) -> None:
    """Tables on stdout, best values bold, notes below; intervals only where there is room.

    Where the terminal is too narrow for a column a metric, each metric has a row.
    """
    for board in boards:
        names = [Text(heading) for heading in headings(board)]
        texts = cells(board, lambda text: text, with_intervals=out.width >= _WIDE)
        rows = [
            [Text(name), Text(bits), *(Text(v, style=s) for v, s in zip(values, bold, strict=True))]
            for (name, bits, *values), bold in zip(texts, _styles(board), strict=True)
        ]
        table = _table(board, names, rows)
        room = out.options.update(width=10_000)  # else the measure is cut to the terminal's
        if Measurement.get(out, room, table).maximum > out.width:
            first, *others = zip(names, *rows, strict=True)
            table = _table(board, [Text(""), *first[1:]], others)
        out.print(table)
        for note in notes(board):
            out.print(Text(f"  {note}"), soft_wrap=True)


def _styles(board: Board) -> list[list[str]]:
    return [
        ["bold" if is_best(board, column, record) else "" for column in board.columns]
        for record in board.records
    ]


def _table(board: Board, names: Sequence[Text], rows: Sequence[Sequence[Text]]) -> Table:
    table = Table(title=Text(board.title), title_justify="left")
    widths = [max(len(row[number]) for row in rows) for number in range(len(names))]
    share = (out.width - widths[0] - 3 * len(names) - 1) // max(1, len(names) - 1)
    for number, (name, width) in enumerate(zip(names, widths, strict=True)):
        if number == 0:
            table.add_column(name, overflow="fold")
        else:  # a long heading folds before a number does
            longest = max(map(len, name.plain.split()), default=0)
            fits = max(width, min(longest, max(share, 12)), min(len(name), share))
            table.add_column(name, justify="right", width=fits, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
