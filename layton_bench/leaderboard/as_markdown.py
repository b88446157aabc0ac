"""Boards as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layton_bench.leaderboard.board import cells, headings, notes, signatures
from layton_bench.leaderboard.ranks import ranking
from layton_bench.records import code, escape, table

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board


def to_markdown(made: Sequence[Board]) -> str:
    """Return one Markdown table per board: ranks, best values in bold, footnotes below."""
    return "\n\n".join(map(_markdown, made)) + "\n" if made else "No runs yet.\n"


def _markdown(board: Board) -> str:
    ranked = ranking(board)
    texts = cells(board, lambda text: f"**{text}**")
    rows = [
        [rank, escape(name), *values]
        for rank, (name, *values) in zip(ranked.texts, texts, strict=True)
    ]
    titles = ["Rank", *map(escape, headings(board))]
    parts = [
        f"### {escape(board.title)}",
        table(titles, rows, texts=2),
        escape(ranked.note),
        "\n".join(
            [
                *(f"- {code(signature)}" for signature in signatures(board)),
                *(f"- {escape(note)}" for note in notes(board)),
            ]
        ),
    ]
    return "\n\n".join(filter(None, parts))
