"""The command line: each command parses, calls one library function and prints.

Exit codes: 0 done; 1 a fault of ours, with a log file; 2 something the user can mend; 130 Ctrl-C.
Results go to stdout; progress, warnings and errors to stderr.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler

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
from layton_bench.cli.console import State, err, show_error
from layton_bench.errors import UserError
from layton_bench.machine import keep_freed_memory

PROGRAM = "layton-bench"
INTERRUPTED = 130  # what shells report for a process that Ctrl-C has ended

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Benchmark image tokenizers and text-to-image generators.",
)


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
            help="Load a plugin: a module, a .py file, a package folder or the .toml of an"
            " external model. Repeatable."
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and exit."),
    ] = False,
) -> None:
    del version
    context.obj = State(extra_plugins=tuple(plugin or ()), command=context.obj)


_COMMANDS = (
    run, score, generate, sweep, time_, list_, show, leaderboard, report, compare, explain_gap,
    doctor, schema,
)  # fmt: skip
for module in _COMMANDS:
    module.register(app)
app.add_typer(weights.app, name="weights")
app.add_typer(geneval.app, name="geneval")


def main() -> None:
    """Entry point of ``layton-bench``."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; every error is shown once, here."""
    _configure_logging()
    keep_freed_memory()
    try:
        app(args=list(arguments), prog_name=PROGRAM, obj=(PROGRAM, *arguments))
    except SystemExit as stop:  # typer ends every command so, also one that Ctrl-C has ended
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code == INTERRUPTED:
            err.print("[bold]Interrupted.[/] Runs that were finished are kept; run again to go on.")
        return code
    except UserError as error:
        show_error(error)
        return 2
    except Exception as error:  # a fault of ours: keep the traceback, show where it is
        log = _write_log(arguments, error)
        err.print(f"[bold red]Internal error:[/] {type(error).__name__}", highlight=False)
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        place = f"The traceback is in {log}; please report it with that file."
        err.print(place, markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _configure_logging() -> None:
    handler = RichHandler(console=err, show_time=False, show_path=False, markup=False)
    logger = logging.getLogger("layton_bench")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _write_log(arguments: Sequence[str], error: Exception) -> Path:
    name = f"layton-bench-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log"
    text = "".join(traceback.format_exception(error))
    body = f"layton-bench {__version__}\narguments: {list(arguments)}\n\n{text}"
    for folder in (Path.cwd(), Path.home()):
        path = folder / name
        try:
            path.write_text(body, encoding="utf-8")
        except OSError:
            continue
        return path
    err.print(body, markup=False)
    return Path("(nowhere writable; printed above)")
