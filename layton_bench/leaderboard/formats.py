"""Boards in every format of `layton-bench leaderboard`, and the file that a run refreshes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from layton_bench.errors import output_error
from layton_bench.leaderboard.as_data import to_csv, to_json
from layton_bench.leaderboard.as_markdown import to_markdown
from layton_bench.leaderboard.board import boards
from layton_bench.leaderboard.latex import to_latex
from layton_bench.leaderboard.model_index import to_model_index
from layton_bench.leaderboard.rates import rate_markdown
from layton_bench.leaderboard.reported import read_reported, reported_markdown
from layton_bench.machine import write_whole
from layton_bench.records import latest, safe_name, stored_runs

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board
    from layton_bench.leaderboard.reported import Reported

Format = Literal["md", "csv", "json", "latex", "model-index"]


def render(made: Sequence[Board], form: Format, *, published: Sequence[Reported] = ()) -> str:
    """Return the boards as text.

    Args:
        made: the boards.
        form: Markdown also has ranks, rate–distortion tables and published numbers. CSV and JSON
            have one row per model and metric. ``model-index`` describes one model.
        published: published numbers for Markdown.

    Raises:
        UserError: ``model-index`` for several models or none.
    """
    match form:
        case "csv":
            return to_csv(made)
        case "json":
            return to_json(made)
        case "latex":
            return to_latex(made)
        case "model-index":
            return to_model_index(made)
        case "md":
            parts = [to_markdown(made), *map(rate_markdown, made), reported_markdown(published)]
            return "\n".join(filter(None, parts))


def write_leaderboard(results: Path, suite: str) -> Path:
    """Write ``leaderboard.md`` of one suite, as ``layton-bench leaderboard`` prints it.

    Returns:
        The path of the file.

    Raises:
        UserError: the file cannot be written.
    """
    runs = latest(stored_runs(results, suite))
    made = boards((run.record for run in runs), stored=runs)
    path = results / safe_name(suite) / "leaderboard.md"
    try:
        write_whole(path, render(made, "md", published=read_reported(results, suite)))
    except OSError as error:
        raise output_error(path, error) from error
    return path
