"""`layton-bench leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layton_bench.cli.console import out
from layton_bench.leaderboard import Format, boards, render
from layton_bench.results import latest, stored_runs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(leaderboard)


def leaderboard(
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Form of the table.")] = "md",
    sort: Annotated[str | None, typer.Option(help="Metric to sort by.")] = None,
    results: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results"),
) -> None:
    """Print the newest run of each model; runs that are not comparable stand in tables apart."""
    runs = latest(stored_runs(results, suite))
    out.out(render(boards((r.record for r in runs), sort_by=sort), form), end="", highlight=False)
