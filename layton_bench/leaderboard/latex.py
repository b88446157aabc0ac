"""Boards as LaTeX tables: booktabs rules, best values in bold, footnotes as comments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layton_bench.errors import shown
from layton_bench.leaderboard.board import cells, headings, notes, signatures
from layton_bench.leaderboard.ranks import ranking

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "Δ": r"$\Delta$", "∞": r"$\infty$",
    "×": r"$\times$", "−": r"$-$", "±": r"$\pm$", "†": r"\dag{}", "⚠": r"$\triangle$",
    "…": r"\ldots{}",
}  # fmt: skip


def escape(text: str) -> str:
    """Return the text on one printable line, with every special character escaped."""
    return "".join(_SPECIAL.get(character, character) for character in shown(text))


def to_latex(made: Sequence[Board]) -> str:
    """Return one ``table`` environment per board. The preamble needs ``booktabs``."""
    return "\n".join(map(_table, made)) if made else "% No runs yet.\n"


def _table(board: Board) -> str:
    titles, ranked = ["Rank", *headings(board)], ranking(board)
    rows = [
        " & ".join([rank, *map(_cell, row)]) + r" \\"
        for rank, row in zip(ranked.texts, cells(board, _mark_best), strict=True)
    ]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escape(board.title)}. {escape(ranked.note)}}}",
        f"  \\begin{{tabular}}{{rl{'r' * (len(titles) - 2)}}}",
        r"    \toprule",
        "    " + " & ".join(map(escape, titles)) + r" \\",
        r"    \midrule",
        *(f"    {row}" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        *(f"% {shown(line)}" for line in (*signatures(board), *notes(board))),
    ]
    return "\n".join(lines) + "\n"


_BEST = "\0"  # no number contains it


def _mark_best(text: str) -> str:
    return _BEST + text


def _cell(text: str) -> str:
    escaped = escape(text.removeprefix(_BEST))
    return f"\\textbf{{{escaped}}}" if text.startswith(_BEST) else escaped
