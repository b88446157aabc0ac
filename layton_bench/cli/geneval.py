"""`layton-bench geneval`: summarise official results, score folders, write results."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from layton_bench import machine, records, run as running
from layton_bench.cli.command import Command
from layton_bench.cli.console import BarReporter, State, out, print_json, print_note, print_text
from layton_bench.cli.options import (
    AsJson,
    BatchSize,
    Device,
    Limit,
    OnExisting,
    RunName,
    Strict,
)
from layton_bench.cli.run import end, report, say
from layton_bench.cli.tables import new_table
from layton_bench.tasks import geneval as task

_log = logging.getLogger(__name__)

app = typer.Typer(no_args_is_help=True, help="GenEval on existing images and results.")


@app.command(cls=Command)
def score(
    results: Annotated[Path, typer.Argument(help="results.jsonl of any GenEval scorer.")],
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Prompts that the results must cover.", show_default="the 553 official prompts"
        ),
    ] = None,
    images_per_prompt: Annotated[
        int | None,
        typer.Option("-n", min=1, help="Images that each prompt must have.", show_default="4"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Summarise official results. No detector and no images are needed.

    What is missing is listed. The official script averages what it finds.
    """
    rows = task.read_results(results)
    summary = task.summarise(rows)
    wanted = task.read_prompts(prompts) if prompts else task.official_prompts()
    found = task.completeness(
        rows, wanted, images_per_prompt=images_per_prompt or task.IMAGES_PER_PROMPT
    )
    if as_json:
        whole = {**dataclasses.asdict(summary), "completeness": dataclasses.asdict(found)}
        print_json(whole)
    else:
        out.print(_table(summary, found))
    for problem in found.problems:
        _log.warning("%s: %s", results.name, problem)


@app.command(cls=Command)
def score_folder(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="Folder with 00000/metadata.jsonl, 00000/samples/ …")
    ],
    limit: Limit = None,
    device: Device = ("auto"),
    batch_size: BatchSize = "auto",
    overwrite: OnExisting = "never",
    strict: Strict = False,
    results: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the run record as JSON.")] = False,
) -> None:
    """Judge images in GenEval's folder layout, as a run of the suite `geneval`.

    Images that are missing or unreadable are listed. The rest is scored and marked as partial.
    """
    state: State = context.obj
    options = running.RunOptions(
        out=results, limit=limit, device=device, batch_size=machine.parse_batch_size(batch_size),
        overwrite=overwrite, strict=strict, command=state.command,
    )  # fmt: skip
    outcome = running.score_folder(state.plugins, folder, options, reporter=BarReporter())
    say(outcome)
    report([outcome], results, as_json=as_json)
    end(state.plugins, [outcome])


@app.command(cls=Command)
def export(
    run: RunName,
    file: Annotated[
        Path | None, typer.Option("-o", help="File to write.", show_default="stdout")
    ] = None,
    results: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results"),
) -> None:
    """Write the verdicts of a run as official results: one JSON line per image, with the reason."""
    rows = task.results_of(records.find_run(results, run))
    if file is None:
        print_text(task.results_text(rows))
        return
    file.write_text(task.results_text(rows), encoding="utf-8")
    print_note(f"{len(rows):,} results: {file}")


def _table(summary: task.GenevalSummary, found: task.Completeness) -> Table:
    """Return scores of tasks, overall and accuracies, with intervals over prompts."""
    state = "complete" if found.is_complete else f"PARTIAL: {found.num_expected:,} expected"
    title = f"GenEval: {summary.num_images:,} images of {summary.num_prompts:,} prompts ({state})"
    numbers = ("score", "95% interval", "correct", "images")
    table = new_table("task", *numbers, title=title, right=numbers)
    for name, one in summary.tasks.items():
        interval = f"{one.low:.3f} to {one.high:.3f}"
        counts = (f"{one.num_correct:,}", f"{one.num_images:,}")
        table.add_row(name, f"{one.score:.4f}", interval, *counts)
    table.add_section()
    overall = f"{summary.low:.3f} to {summary.high:.3f}"
    table.add_row("overall (mean of tasks)", f"{summary.overall:.5f}", overall, style="bold")
    table.add_row("images, all tasks pooled", f"{summary.image_accuracy:.4f}")
    table.add_row("prompts with a correct image", f"{summary.prompt_accuracy:.4f}")
    return table
