"""`layton-bench explain-gap`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from layton_bench import leaderboard as leaderboards, machine, run as running
from layton_bench.cli.console import BarReporter, State, out, print_json, print_note
from layton_bench.cli.options import AsJson, BatchSize, DataRoot, Device, Dtype, Limit, Settings
from layton_bench.cli.tables import new_table
from layton_bench.errors import UserError


def explain_gap(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Tokenizer to run.")],
    suite: Annotated[str, typer.Option(help="Suite that gives the data and the size.")],
    reported: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE",
            help="A published number, such as ssim=0.675. Repeatable.",
            show_default="the numbers in reported.csv",
        ),
    ] = None,
    statistics: Annotated[
        list[Path] | None,
        typer.Option(help="FID statistics of another reference set (.npz). Repeatable."),
    ] = None,
    data_root: DataRoot = None,
    limit: Limit = None,
    device: Device = "auto",
    batch_size: BatchSize = "auto",
    dtype: Dtype = "float32",
    setting: Settings = None,
    results: Annotated[Path, typer.Option("--out", help="Folder with reported.csv.")] = Path(
        "results"
    ),
    as_json: AsJson = False,
) -> None:
    """Find the crop, rounding rule and metric variant that give a published number."""
    state: State = context.obj
    wanted = _parse(reported or ()) or leaderboards.reported_values(results, suite, model)
    options = running.RunOptions(
        data_root=data_root, limit=limit, device=device, dtype=dtype,
        batch_size=machine.parse_batch_size(batch_size),
    )  # fmt: skip
    found = running.explain_gap(
        state.plugins, suite, model, wanted, options, settings=setting or (),
        statistics=statistics or (), reporter=BarReporter(),
    )  # fmt: skip
    if as_json:
        print_json([asdict(e) for e in found])
        return
    for explanation in found:
        _print(explanation)
    if limit is not None:
        print_note(f"With {limit} samples, FID and similar values are too high.")


def _parse(settings: Sequence[str]) -> dict[str, float]:
    values = {}
    for text in settings:
        name, _, number = text.partition("=")
        try:
            values[name] = float(number)
        except ValueError:
            raise UserError(
                f"--reported {text}", "not METRIC=VALUE", "Write ssim=0.675, for example."
            ) from None
    return values


def _print(explanation: running.Explanation) -> None:
    title = f"{explanation.metric} reported as {explanation.reported:g}; {explanation.n:,} samples"
    headings = ("crop", "rounding", "metric", "value", "gap", "as in")
    table = new_table(*headings, title=title, right=("value", "gap"))
    for c in explanation.combinations:
        value = c.note or "n/a" if c.value is None else f"{c.value:.4f}"
        gap = "" if c.gap is None else f"{c.gap:+.4f}"
        table.add_row(
            *map(Text, (c.protocol, c.rounding, c.metric, value, gap, ", ".join(c.scripts)))
        )
    out.print(table)
