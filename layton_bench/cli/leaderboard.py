"""`layton-bench leaderboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from layton_bench.cli.console import State, out
from layton_bench.cli.options import DEFAULT_RESULTS, Results
from layton_bench.leaderboard import Format, boards, render
from layton_bench.reported import read_reported, reported_markdown
from layton_bench.results import latest, stored_runs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(leaderboard)


def leaderboard(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Form of the table.")] = "md",
    sort: Annotated[str | None, typer.Option(help="Metric to sort by.")] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Print the newest run of each model; runs that are not comparable stand in tables apart.

    In Markdown, published numbers kept in reported.csv follow in a table of their own.
    """
    runs = latest(stored_runs(results, suite))
    if suite is not None and not runs:
        state: State = context.obj
        state.plugins.suites[suite]  # a name that is no suite is an error, not an empty table
    out.out(render(boards((r.record for r in runs), sort_by=sort), form), end="", highlight=False)
    if form == "md" and (published := read_reported(results, suite)):
        out.out("\n" + reported_markdown(published), end="", highlight=False)
