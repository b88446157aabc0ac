"""How a command's function is called."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from layton_bench.cli.console import out
from layton_bench.cli.streams import results_stream
from layton_bench.errors import CtrlC


class Escaped(Exception):  # noqa: N818, its cause is the error
    """A command raised something that typer would take for its own; that is the cause."""


class Command(TyperCommand):
    """A command whose results alone go to stdout, and whose exit code is its own.

    typer ends the program for ``SystemExit``, Ctrl-C, ``EOFError`` and broken pipes. If a plugin
    or a library raises them, they are errors like any other.
    """

    def invoke(self, ctx: Any) -> Any:  # typer.Context; its base differs between versions
        """Run the command's function."""
        try:
            with results_stream() as out.file:
                return super().invoke(ctx)
        except CtrlC:
            raise
        except (SystemExit, KeyboardInterrupt, EOFError, BrokenPipeError) as error:
            raise Escaped from error
