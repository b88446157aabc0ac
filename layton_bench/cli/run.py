"""`layton-bench run`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from layton_bench import leaderboard as leaderboards, machine, records, registry, run as running
from layton_bench.cli.console import BarReporter, State, print_json_text, print_note, show_error
from layton_bench.cli.options import (
    DEFAULT_RESULTS,
    AsJson,
    BatchSize,
    DataRoot,
    Device,
    Dtype,
    KeepImages,
    Limit,
    Metrics,
    OnExisting,
    Results,
    Seed,
    Settings,
    Strict,
)
from layton_bench.cli.tables import print_boards
from layton_bench.errors import UserError

_log = logging.getLogger(__name__)


def run(
    context: typer.Context,
    suite: Annotated[str, typer.Option(help="Suite to run. `list suites` shows all suites.")],
    model: Annotated[
        list[str], typer.Option(help="Model to run. `list models` shows all models. Repeatable.")
    ],
    data_root: DataRoot = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "auto",
    batch_size: BatchSize = "auto",
    dtype: Dtype = "float32",
    metric: Metrics = None,
    setting: Settings = None,
    num_workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes that read images.", show_default="set by the number of cores"
        ),
    ] = None,
    decode_seeds: Annotated[
        int,
        typer.Option(min=1, help="Decode each image N times and report the spread over seeds."),
    ] = 1,
    overwrite: OnExisting = "never",
    keep_images: KeepImages = False,
    strict: Strict = False,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Run models on a suite, write a record of each run, and print a table.

    A run with the same inputs as an existing run is not repeated.
    """
    state: State = context.obj
    options = running.RunOptions(
        out=results, data_root=data_root, limit=limit, seed=seed, device=device, dtype=dtype,
        batch_size=machine.parse_batch_size(batch_size), num_workers=num_workers,
        overwrite=overwrite, decode_seeds=decode_seeds, keep_images=keep_images,
        strict=strict, metrics=tuple(metric or ()), command=state.command,
    )  # fmt: skip
    # every name is looked up before the first run: a mistake in the last name costs nothing
    plans = [
        running.make_plan(state.plugins, suite, name, options, settings=setting or ())
        for name in model
    ]
    finished: list[running.Outcome] = []
    failed: list[UserError] = []
    for plan in plans:
        try:
            outcome = running.execute(state.plugins, plan, BarReporter())
        except UserError as error:
            failed.append(error)
            show_error(error)
            continue
        finished.append(outcome)
        say(outcome)
        if outcome.is_stopped:
            break
    unstored = [error.record for error in failed if isinstance(error, records.StorageError)]
    report(finished, results, as_json=as_json, unstored=unstored)
    end(state.plugins, finished, failed=bool(failed))


def end(
    plugins: registry.Plugins, finished: Sequence[running.Outcome], *, failed: bool = False
) -> None:
    """End a command with its exit code.

    Args:
        plugins: know what each metric needs.
        finished: runs in the results folder.
        failed: whether a run failed.

    Raises:
        Exit: 2 if a run failed, or a suite's metric that should always work; 130 after Ctrl-C.
    """
    for outcome in finished:
        record = outcome.run.record
        if outcome.is_stopped:  # what Ctrl-C left out is not broken
            continue
        for name in registry.broken_metrics(plugins, record):
            failed = True
            reason = record.metrics[name].unavailable or ""
            remedy = "The record has the other metrics. `layton-bench doctor` may show the cause."
            show_error(UserError(f"metric '{name}' of {record.model.name}", reason, remedy))
    if failed:
        raise typer.Exit(2)
    if any(outcome.is_stopped for outcome in finished):
        raise typer.Exit(130)


def report(
    finished: Sequence[running.Outcome],
    results: Path,
    *,
    as_json: bool,
    unstored: Sequence[records.RunRecord] = (),
) -> None:
    """Print the records, say where the files are, and update the leaderboard of each suite.

    Args:
        finished: runs in the results folder.
        results: that folder.
        as_json: whether to print JSON.
        unstored: records that could not be written; they are printed, so that nothing is lost.
    """
    runs = [outcome.run for outcome in finished]
    made = [*(run.record for run in runs), *unstored]
    if as_json:
        print_json_text("[" + ",\n".join(r.model_dump_json(indent=2) for r in made) + "]")
    elif made:
        print_boards(leaderboards.boards(made))
    for run in runs:
        print_note(f"Record, samples and images: {run.folder}")
    for suite in sorted({run.record.suite.name for run in runs}):
        path = leaderboards.write_leaderboard(results, suite)
        print_note(f"Leaderboard: {path}")


def say(outcome: running.Outcome) -> None:
    """Log what a reader of the table must know about a run."""
    record = outcome.run.record
    if outcome.is_reused:
        _log.info("%s: this run exists already (%s)", record.model.name, record.run_id)
    for note in record.data.notes:
        _log.warning("%s: %s", record.data.name, note)
    if outcome.lacking:
        _log.warning(
            "%s: the existing run lacks %s. Add them with --overwrite only-missing.",
            record.model.name,
            ", ".join(outcome.lacking),
        )
    for line in records.left_out(record):
        _log.warning("%s", line)
    if record.status == "interrupted":
        _log.warning("Interrupted: the record covers the samples done so far.")
