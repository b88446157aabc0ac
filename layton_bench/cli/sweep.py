"""`layton-bench sweep`."""

from __future__ import annotations

from typing import Annotated

import typer

from layton_bench import leaderboard as leaderboards, machine, records, run as running
from layton_bench.cli.console import BarReporter, State, print_note, print_text
from layton_bench.cli.options import (
    DEFAULT_RESULTS,
    BatchSize,
    DataRoot,
    Device,
    Dtype,
    Limit,
    Metrics,
    OnExisting,
    Results,
    Seed,
)
from layton_bench.cli.run import end, say
from layton_bench.cli.tables import print_boards


def sweep(
    context: typer.Context,
    suite: Annotated[str, typer.Option(help="Suite to run.")],
    model: Annotated[str, typer.Option(help="Model to run.")],
    setting: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="NAME=V1,V2,…", help="Values of a model's option. Repeatable."
        ),
    ],
    data_root: DataRoot = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "auto",
    batch_size: BatchSize = "auto",
    dtype: Dtype = "float32",
    metric: Metrics = None,
    overwrite: OnExisting = "never",
    results: Results = DEFAULT_RESULTS,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Run a model with each value of an option. Print a table, and draw quality against time."""
    state: State = context.obj
    options = running.RunOptions(
        out=results, data_root=data_root, limit=limit, seed=seed, device=device, dtype=dtype,
        batch_size=machine.parse_batch_size(batch_size), overwrite=overwrite,
        metrics=tuple(metric or ()), command=state.command,
    )  # fmt: skip
    outcomes = []
    for outcome in running.sweep(
        state.plugins, suite, model, setting, options, reporter=BarReporter()
    ):
        say(outcome)
        outcomes.append(outcome)
        if outcome.is_stopped:
            break
    if as_csv:
        print_text(running.table(outcomes).to_csv(index=False))
    else:
        print_boards(leaderboards.boards([outcome.run.record for outcome in outcomes]))
    folder = records.model_folder(results, suite, outcomes[0].run.record.model.name)
    running.draw_curves(outcomes, folder / "sweep.png")
    print_note(f"Curves: {folder / 'sweep.png'}")
    end(state.plugins, outcomes)
