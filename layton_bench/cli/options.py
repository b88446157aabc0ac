"""Options that several commands share: one wording, one default of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layton_bench.run import Overwrite

DEFAULT_RESULTS = Path("results")

DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="LAYTON_BENCH_DATA", help="Folder in which the data sets lie."),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Use only N samples, evenly spaced. Marked as partial everywhere."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[str, typer.Option(help="Images a batch: auto or N.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="In place of the usual metrics. Repeatable.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="An option of the model. Repeatable."),
]
OnExisting = Annotated[
    Overwrite,
    typer.Option(
        help="A run that exists: keep it, run again, or compute only the metrics it lacks."
    ),
]
KeepImages = Annotated[
    bool,
    typer.Option(
        "--keep-images",
        help="Keep the pictures of every sample, not of the worst and best alone.",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first failed sample or missing metric.")
]
Results = Annotated[Path, typer.Option("--out", help="Results folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
