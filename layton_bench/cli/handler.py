"""Where every command starts, and where every error ends.

Exit codes: 0 done; 1 a bug in layton-bench, with a log file; 2 a problem that the user can fix;
130 Ctrl-C. Results go to stdout; progress, warnings and errors go to stderr.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.logging import RichHandler

from layton_bench import __version__
from layton_bench.cli.app import app
from layton_bench.cli.console import err, show_error
from layton_bench.errors import UserError
from layton_bench.machine import keep_freed_memory

PROGRAM = "layton-bench"
INTERRUPTED = 130  # what shells report for a process that Ctrl-C has ended


def main() -> None:
    """Entry point of ``layton-bench``."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; show an error once."""
    _configure_logging()
    keep_freed_memory()
    try:
        app(args=list(arguments), prog_name=PROGRAM, obj=(PROGRAM, *arguments))
    except SystemExit as stop:  # typer ends every command so, also one that Ctrl-C has ended
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code == INTERRUPTED:
            err.print("[bold]Interrupted.[/] Finished runs are kept. Run again to continue.")
        return code
    except UserError as error:
        show_error(error)
        return 2
    except Exception as error:  # a bug: keep the traceback, and say where it is
        log = _write_log(arguments, error)
        err.print(f"[bold red]Internal error:[/] {type(error).__name__}", highlight=False)
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        place = f"The traceback is in {log}. Please report it with that file."
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
    return Path("(no folder was writable; printed above)")
