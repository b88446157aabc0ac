"""`layton-bench sweep`."""

from __future__ import annotations

from typing import Annotated

import typer

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
from layton_bench.leaderboard import boards
from layton_bench.machine import parse_batch_size
from layton_bench.records import model_folder
from layton_bench.run import RunOptions, draw_curves, sweep as sweep_model, table


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
    options = RunOptions(
        out=results, data_root=data_root, limit=limit, seed=seed, device=device, dtype=dtype,
        batch_size=parse_batch_size(batch_size), overwrite=overwrite,
        metrics=tuple(metric or ()), command=state.command,
    )  # fmt: skip
    outcomes = []
    for outcome in sweep_model(
        state.plugins, suite, model, setting, options, reporter=BarReporter()
    ):
        say(outcome)
        outcomes.append(outcome)
        if outcome.is_stopped:
            break
    if as_csv:
        print_text(table(outcomes).to_csv(index=False))
    else:
        print_boards(boards([outcome.run.record for outcome in outcomes]))
    folder = model_folder(results, suite, outcomes[0].run.record.model.name)
    draw_curves(outcomes, folder / "sweep.png")
    print_note(f"Curves: {folder / 'sweep.png'}")
    end(state.plugins, outcomes)
