"""Options that several commands share: each has one wording and one default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

DEFAULT_RESULTS = Path("results")

DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="LAYTON_BENCH_DATA", help="Folder with the data sets."),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Use only N samples, evenly spaced. Tables mark the run as partial."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[str, typer.Option(help="Images per batch: auto or N.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Metric to compute in place of the suite's. Repeatable."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set an option of the model. Repeatable."),
]
OnExisting = Annotated[
    Literal["never", "always", "only-missing"],
    typer.Option(help="If the run exists: reuse it, redo it, or add missing metrics."),
]
KeepImages = Annotated[
    bool,
    typer.Option(
        "--keep-images",
        help="Keep the images of all samples, not only of the worst and best.",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first failed sample or missing metric.")
]
Results = Annotated[Path, typer.Option("--out", help="Results folder.")]
RunName = Annotated[
    str, typer.Argument(help="Folder of a run, its id or the start of the id, or a model.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
