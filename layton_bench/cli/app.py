"""The commands and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from layton_bench import __version__
from layton_bench.cli import (
    compare,
    doctor,
    explain_gap,
    generate,
    geneval,
    leaderboard,
    list_,
    report,
    run,
    schema,
    score,
    show,
    sweep,
    time_,
    weights,
)
from layton_bench.cli.command import Command
from layton_bench.cli.console import State

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Measure image tokenizers and text-to-image generators, and compare them.",
)

_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "score": score.score,
    "generate": generate.generate,
    "sweep": sweep.sweep,
    "time": time_.time,
    "list": list_.list_,
    "show": show.show,
    "leaderboard": leaderboard.leaderboard,
    "report": report.report,
    "compare": compare.compare,
    "explain-gap": explain_gap.explain_gap,
    "doctor": doctor.doctor,
    "schema": schema.schema,
}
_GROUPS = {"weights": weights.app, "geneval": geneval.app}

for _name, _function in _COMMANDS.items():
    app.command(_name, cls=Command)(_function)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"layton-bench {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Load a plugin: a module, a .py file, a package folder, or the .toml file of an"
            " external model. Repeatable.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del version
    context.obj = State(extra_plugins=tuple(plugin or ()), command=context.obj)
