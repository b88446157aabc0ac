"""`layton-bench leaderboard`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from layton_bench import leaderboard as leaderboards, records
from layton_bench.cli.console import State, print_note, print_text
from layton_bench.cli.options import DEFAULT_RESULTS, Results


def leaderboard(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    form: Annotated[
        Literal["md", "csv", "json", "latex", "model-index"],
        typer.Option("--format", help="Format of the table."),
    ] = "md",
    sort: Annotated[str | None, typer.Option(help="Metric to sort and rank by.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only these models, such as `webp*`. Repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Only these columns, in this order. Repeatable."),
    ] = None,
    max_bits: Annotated[
        float | None, typer.Option(min=0, help="Only models with at most this many bits per image.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Only runs over all samples of their suite.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Print the newest run of each model. Runs that are not comparable are in separate tables.

    Markdown adds rate–distortion tables and the published numbers in reported.csv. A model-index
    describes one model: name it with --model.
    """
    found = records.stored_runs(results, suite)
    runs = records.latest(found)
    if len(found) > len(runs):
        print_note(
            f"Not shown: {len(found) - len(runs)} runs, replaced by newer or complete runs of the"
            " same settings. `layton-bench list runs` lists all runs."
        )
    if suite is not None and not runs:
        state: State = context.obj
        state.plugins.suites[suite]  # an unknown suite is an error, not an empty table
    chosen = leaderboards.Selection(
        models=tuple(model or ()), metrics=tuple(metric or ()), max_bits=max_bits,
        only_complete=complete,
    )  # fmt: skip
    made = leaderboards.boards(
        leaderboards.select([run.record for run in runs], chosen), sort_by=sort, stored=runs
    )
    published = leaderboards.read_reported(results, suite) if form == "md" else []
    print_text(leaderboards.render(made, form, published=published))
