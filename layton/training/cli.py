"""`layton train` and `layton extract`: parse, call the library, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from layton.errors import MissingPartError

__all__ = ["extract", "train"]

Overrides = Annotated[
    list[str], typer.Option("--set", help="Change a field: optimizer.lr=1e-4, stages.0.steps=10.")
]


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, TOML; see docs/training.md.")],
    overrides: Overrides = [],  # noqa: B006 typer reads it, nothing writes it
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count parameters and memory; train nothing.")
    ] = False,
) -> None:
    """Train a phase of Layton or LaytonGen. An earlier run is continued.

    Phases: vq and vae (autoencoders from images), diffusion (a base from scratch), alignment (phase
    1), distillation (an acceleration LoRA), consistency (phase 2), gpt (the transformer of
    LaytonGen). With several processes: accelerate launch -m layton.cli train RECIPE.
    """
    from layton.training.phases import recipe_kind
    from layton.training.recipe import read_toml, validate, with_overrides

    tables = with_overrides(read_toml(recipe), overrides)
    chosen = validate(recipe_kind(tables, source=str(recipe)), tables, source=recipe)
    if dry_run:
        from layton.training.dry_run import describe

        typer.echo(describe(chosen))
        return
    try:
        from accelerate import PartialState
    except ImportError:
        raise MissingPartError(
            "accelerate", "is not installed", "pip install 'layton-bench[train]'"
        ) from None
    from layton.training.engine import train as run

    folder = run(chosen)
    if PartialState().is_main_process:
        typer.echo(f"model → {folder}")


def extract(
    recipe: Annotated[Path, typer.Argument(help="An extraction recipe, TOML.")],
    overrides: Overrides = [],  # noqa: B006 likewise
) -> None:
    """Compute codes, latents and text features once, for phases that train on them.

    Finished parts of an earlier run are kept. Remove the folder to compute them again.
    """
    from rich.console import Console
    from rich.progress import Progress

    from layton.training.data.extract import ExtractRecipe, extract as run
    from layton.training.recipe import read_toml, validate, with_overrides

    tables = with_overrides(read_toml(recipe), overrides)
    chosen = validate(ExtractRecipe, tables, source=recipe)
    console = Console(stderr=True)
    with Progress(console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("extracting")
        folder = run(
            chosen,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    typer.echo(f"samples → {folder}")
