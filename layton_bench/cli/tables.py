"""Boards and lists as tables on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.console import JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from layton_bench import leaderboard as leaderboards
from layton_bench.cli.console import out, print_json, print_line

if TYPE_CHECKING:
    import pandas as pd

_WIDE = 200

Row = dict[str, str]


def new_table(
    *headings: str, title: str = "", right: Collection[str] = (), boxed: bool = True
) -> Table:
    """Return a table without rows. It folds what is too long, and cuts nothing.

    Args:
        headings: of the columns.
        title: above the table.
        right: headings of columns that are aligned to the right.
        boxed: whether lines are drawn around the cells.
    """
    table = Table(title=Text(title) if title else None, title_justify="left")
    if not boxed:
        table.box = None
    for heading in headings:
        justify: JustifyMethod = "right" if heading in right else "left"
        table.add_column(Text(heading), overflow="fold", justify=justify)
    return table


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """Print a table of samples on stdout."""
    table = new_table(*frame.columns, title=title, boxed=False)
    for row in frame.itertuples(index=False, name=None):
        table.add_row(*(Text(f"{v:.3f}" if isinstance(v, float) else str(v)) for v in row))
    out.print(table)


def print_rows(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print rows with equal headings on stdout. Names, the first column, are folded last."""
    if as_json:
        print_json(rows)
        return
    columns = list(rows[0]) if rows else ["nothing yet"]
    table = new_table(*columns, boxed=False)
    table.pad_edge = False
    longest = max((len(row[columns[0]]) for row in rows), default=0)
    table.columns[0].no_wrap = longest <= out.width // 2
    for row in rows:
        table.add_row(*map(Text, row.values()))
    out.print(table)


def print_boards(boards: Sequence[leaderboards.Board]) -> None:
    """Print boards on stdout, with the best values in bold and notes below.

    Intervals are shown if there is room. On a narrow terminal each metric has a row, not a column.
    """
    for board in boards:
        names = [Text(heading) for heading in leaderboards.headings(board)]
        texts = leaderboards.cells(board, lambda text: text, with_intervals=out.width >= _WIDE)
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
        for note in leaderboards.notes(board):
            print_line(f"  {note}")


def _styles(board: leaderboards.Board) -> list[list[str]]:
    return [
        ["bold" if leaderboards.is_best(board, column, record) else "" for column in board.columns]
        for record in board.records
    ]


def _table(
    board: leaderboards.Board, names: Sequence[Text], rows: Sequence[Sequence[Text]]
) -> Table:
    table = new_table(title=board.title)
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
