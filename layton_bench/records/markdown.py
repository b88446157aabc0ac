"""Markdown tables from untrusted text: names are shown and cannot act as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from layton_bench.errors import shown


def escape(text: str) -> str:
    """Return the text on one printable line, without markup, HTML or cell borders."""
    line = shown(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)


def code(text: str) -> str:
    """Return the text as inline code. A backtick would end it, so it becomes an apostrophe."""
    return f"`{shown(text).replace('`', chr(39))}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int) -> str:
    """Return a table of Markdown cells. The first ``texts`` columns are left-aligned."""
    alignment = "|" + ":---|" * texts + "---:|" * (len(headings) - texts)
    return "\n".join([_row(headings), alignment, *map(_row, rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
