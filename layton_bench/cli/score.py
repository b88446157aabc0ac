"""`layton-bench score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layton_bench import machine, run as running
from layton_bench.cli.console import BarReporter, State
from layton_bench.cli.options import (
    DEFAULT_RESULTS,
    AsJson,
    BatchSize,
    Device,
    KeepImages,
    Limit,
    Metrics,
    OnExisting,
    Results,
    Seed,
    Strict,
)
from layton_bench.cli.run import end, report, say


def score(
    context: typer.Context,
    reference: Annotated[Path, typer.Option(help="Folder of original images.")],
    images: Annotated[Path, typer.Option(help="Folder of reconstructions with the same names.")],
    suite: Annotated[
        str | None,
        typer.Option(
            help="Apply this suite's protocol to the originals.", show_default="keep their sizes"
        ),
    ] = None,
    metric: Metrics = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "auto",
    batch_size: BatchSize = "auto",
    overwrite: OnExisting = "never",
    keep_images: KeepImages = False,
    strict: Strict = False,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Score a folder of reconstructions against a folder of originals.

    Files with the same name are a pair. Files without a partner, and names that occur twice, are
    listed and left out.
    """
    state: State = context.obj
    options = running.RunOptions(
        out=results, limit=limit, seed=seed, device=device, strict=strict,
        batch_size=machine.parse_batch_size(batch_size), overwrite=overwrite,
        keep_images=keep_images, metrics=tuple(metric or ()), command=state.command,
    )  # fmt: skip
    outcome = running.score(
        state.plugins, reference, images, options, suite_name=suite, reporter=BarReporter()
    )
    say(outcome)
    report([outcome], results, as_json=as_json)
    end(state.plugins, [outcome])
