"""Where every command starts, and where every error ends.

Exit codes: 0 done; 1 a bug in layton, with a log file; 2 a problem that the user can fix; 130
Ctrl-C. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import os
import sys
import traceback
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import typer

from layton.cli.commands import app
from layton.errors import LaytonError

__all__ = ["main"]

_MAX_LETTERS = 4000  # of a message; texts of exceptions may have any length


def main() -> None:
    """Entry point of `layton`; it ends the process with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not every terminal can show every letter
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except LaytonError as error:
        _fail(error.thing, error.reason, error.remedy)
    except (OSError, UnicodeError) as error:
        _fail(*_file_problem(error))
    except Exception as error:
        if _is_out_of_memory(error):
            _fail("memory", str(error) or "not enough", "Use a smaller --batch-size.")
        log = _write_log(error)
        _say(f"Internal error: {type(error).__name__}: {error}")
        _say(f"The traceback is in {log}. Please report it with that file.")
        sys.exit(1)


def _fail(thing: str, reason: str, remedy: str) -> None:
    """Print what is wrong, why, and what to do; end the process."""
    _say(f"Error: {thing}: {reason.rstrip('.')}.")
    if remedy:
        _say(remedy)
    sys.exit(2)


def _say(text: str) -> None:
    """Print to stderr, without control characters and not endlessly."""
    shown = "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1]
        for letter in text[:_MAX_LETTERS]
    )
    typer.echo(shown if len(text) <= _MAX_LETTERS else f"{shown} …", err=True)


def _file_problem(error: OSError | UnicodeError) -> tuple[str, str, str]:
    if isinstance(error, UnicodeError):
        return "a text", f"is not UTF-8 ({error})", "Save it as UTF-8."
    reason = error.strerror or str(error) or type(error).__name__
    return str(error.filename or "a file"), reason, "Check the path, its permissions and its disk."


def _is_out_of_memory(error: Exception) -> bool:
    # torch's own class, by name: this module does not import torch
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _write_log(error: Exception) -> Path:
    """Write the traceback to the working directory, or to the home directory."""
    name = f"layton-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
    text = "".join(traceback.format_exception(error))
    body = f"layton-bench {version('layton-bench')}\narguments: {sys.argv[1:]}\n\n{text}"
    for folder in (Path.cwd(), Path.home()):
        try:
            (folder / name).write_text(body, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return folder / name
    _say(body)
    return Path("(no folder was writable; it is printed above)")
