"""Boards as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from layton_bench.cli.console import out
from layton_bench.leaderboard import Board, cells, headings, is_best, notes

_WIDE = 200


def print_boards(boards: Sequence[Board]) -> None:
    """Print boards on stdout, with the best values in bold and notes below.

    Intervals are shown if there is room. On a narrow terminal each metric has a row, not a column.
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
