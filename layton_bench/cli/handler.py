"""Where every command starts, and where every error ends.

Exit codes: 0 done; 1 a bug in layton-bench, with a log file; 2 a problem that the user can fix;
130 Ctrl-C; 143 SIGTERM. Results go to stdout; progress, warnings and errors go to stderr.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.logging import RichHandler

from layton_bench import __version__
from layton_bench.cli.app import app
from layton_bench.cli.command import Escaped
from layton_bench.cli.console import err, print_note, show_error
from layton_bench.cli.streams import make_streams_safe, occupy_standard_descriptors
from layton_bench.errors import CtrlC, UserError, file_error, reason_of
from layton_bench.machine import keep_freed_memory, stop_code, stops_raise

PROGRAM = "layton-bench"
BUG, USER, INTERRUPTED = 1, 2, 130

_OUT_OF_MEMORY = UserError(
    "memory",
    "this machine has too little of it for this command",
    "Use a smaller --batch-size or --limit.",
)


def main() -> None:
    """Entry point of ``layton-bench``."""
    occupy_standard_descriptors()
    code = invoke(sys.argv[1:])
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.exit(code)
    # nobody reads the rest; without this, Python reports that at its end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; show an error once."""
    make_streams_safe()
    _configure_logging()
    keep_freed_memory()
    try:
        with stops_raise():
            return _run(arguments)
    except CtrlC:
        return _stopped()
    except UserError as error:
        show_error(error)
        return USER
    except (OSError, UnicodeError) as error:
        show_error(file_error(error))
        if getattr(error, "filename", None) is None:
            _point_to_log(arguments, error)
        return USER
    except MemoryError as error:
        show_error(_OUT_OF_MEMORY)
        _point_to_log(arguments, error)
        return USER
    except BaseException as error:  # a bug: keep the traceback, and say where it is
        shown = error.__cause__ if isinstance(error, Escaped) and error.__cause__ else error
        err.print("[bold red]Internal error:[/] ", end="")
        print_note(reason_of(shown))
        _point_to_log(arguments, shown)
        return BUG


def _run(arguments: Sequence[str]) -> int:
    try:
        app(args=list(arguments), prog_name=PROGRAM, obj=(PROGRAM, *arguments))
    except SystemExit as stop:  # typer ends every command like this, also one that Ctrl-C ended
        if isinstance(stop.__context__, BrokenPipeError):
            return 0  # help that nobody reads to its end
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return _stopped() if code == INTERRUPTED else code
    return 0


def _stopped() -> int:
    err.print("[bold]Interrupted.[/] Finished runs are kept. Run again to continue.")
    return stop_code()


def _configure_logging() -> None:
    handler = RichHandler(console=err, show_time=False, show_path=False, markup=False)
    logger = logging.getLogger("layton_bench")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _point_to_log(arguments: Sequence[str], error: BaseException) -> None:
    name = f"layton-bench-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
    text = "".join(traceback.format_exception(error))
    body = f"layton-bench {__version__}\narguments: {list(arguments)}\n\n{text}"
    for folder in (Path.cwd, Path.home):
        try:
            path = folder() / name
            path.write_text(body, encoding="utf-8", errors="backslashreplace")
        except (OSError, RuntimeError):  # the folder is gone, read-only, or unknown
            continue
        print_note(f"The traceback is in {path}. Please report it with that file.")
        return
    print_note(body)
    print_note("No folder was writable for a log file. Please report the traceback above.")
