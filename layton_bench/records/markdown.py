"""Text in Markdown tables: whatever a name holds, it is shown and never acts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escape(text: str) -> str:
    """Text on one line in which nothing is markup, HTML or the end of a cell."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)


def code(text: str) -> str:
    """Text in a fixed font; a backtick, which would end it, becomes an apostrophe."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int) -> str:
    """A table of cells that are Markdown already; the first ``texts`` columns are left-aligned."""
    alignment = "|" + ":---|" * texts + "---:|" * (len(headings) - texts)
    return "\n".join([_row(headings), alignment, *map(_row, rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
