"""Boards in every form that `layton-bench leaderboard` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from layton_bench.leaderboard import board as leaderboard
from layton_bench.leaderboard.latex import to_latex
from layton_bench.leaderboard.model_index import to_model_index
from layton_bench.leaderboard.rates import rate_markdown
from layton_bench.leaderboard.reported import reported_markdown

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board
    from layton_bench.leaderboard.reported import Reported

Format = Literal["md", "csv", "json", "latex", "model-index"]


def render(made: Sequence[Board], form: Format, *, published: Sequence[Reported] = ()) -> str:
    """The boards as text.

    Args:
        made: the boards.
        form: Markdown has ranks and rate–distortion tables beside the values; CSV and JSON have a
            row for each model and metric; ``model-index`` is of one model.
        published: numbers reported elsewhere, which Markdown shows in a table of their own.

    Raises:
        UserError: a model-index of several models or none.
    """
    if form == "latex":
        return to_latex(made)
    if form == "model-index":
        return to_model_index(made)
    if form != "md":
        return leaderboard.render(made, form)
    parts = [leaderboard.to_markdown(made, with_ranks=True)]
    parts += [rate_markdown(board) for board in made]
    parts.append(reported_markdown(list(published)))
    return "\n".join(filter(None, parts))
