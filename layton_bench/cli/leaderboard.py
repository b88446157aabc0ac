"""`layton-bench leaderboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from layton_bench.cli.console import State, out
from layton_bench.cli.options import DEFAULT_RESULTS, Results
from layton_bench.leaderboard import Format, Selection, boards, read_reported, render, select
from layton_bench.records import latest, stored_runs


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(leaderboard)


def leaderboard(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Form of the table.")] = "md",
    sort: Annotated[str | None, typer.Option(help="Metric to sort and rank by.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only these models (`webp*`). Repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Only these columns, in this order. Repeatable."),
    ] = None,
    max_bits: Annotated[
        float | None, typer.Option(min=0, help="Only models of at most that many bits an image.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Only runs over every sample of their suite.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Print the newest run of each model; runs that are not comparable stand in tables apart.

    In Markdown, rate–distortion tables and the published numbers kept in reported.csv follow.
    A model-index is of one model: name it with --model.
    """
    runs = latest(stored_runs(results, suite))
    if suite is not None and not runs:
        state: State = context.obj
        state.plugins.suites[suite]  # a name that is no suite is an error, not an empty table
    chosen = Selection(
        models=tuple(model or ()), metrics=tuple(metric or ()), max_bits=max_bits,
        only_complete=complete,
    )  # fmt: skip
    made = boards(select([run.record for run in runs], chosen), sort_by=sort)
    published = read_reported(results, suite) if form == "md" else []
    out.out(render(made, form, published=published), end="", highlight=False)
