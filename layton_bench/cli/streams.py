"""stdout and stderr that never stop the work: any encoding, closed, or left by their reader.

Only results go to stdout. What models, plugins and libraries print goes to stderr, so that the
output of ``--json`` is JSON.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from layton_bench.errors import file_error

STDOUT, STDERR = 1, 2

# what the tables and messages use beyond ASCII
_SPELLED = {
    "↑": "^", "↓": "v", "→": "->", "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "·": "*",
    "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "Δ": "d", "∞": "inf", "²": "2", "√": "sqrt",
    "✓": "+", "✗": "-", "’": "'", "“": '"', "”": '"', "│": "|", "─": "-", "━": "-", "╸": "-",
    "╺": "-",
}  # fmt: skip


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that the encoding lacks: by a similar sign, or by their number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    text = "".join(
        _SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing
    )
    return text, error.end


codecs.register_error("layton_bench.spell", _spell)


def occupy_standard_descriptors() -> None:
    """Open the null device for each of descriptors 0, 1, 2 that is closed.

    Otherwise the next file that is opened takes its number, and prints end up in that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def make_streams_safe() -> None:
    """Give closed streams a sink, and let no character fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, nowhere())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="layton_bench.spell")


def nowhere() -> TextIO:
    """Return a stream that drops what is written to it."""
    return _Nowhere()


class _Nowhere(io.StringIO):
    def write(self, text: str, /) -> int:
        return len(text)


class _Results(io.TextIOWrapper):
    """stdout, which an error names."""

    def write(self, text: str, /) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:  # the disk is full, for example
        raise file_error(error, "standard output") from error


@contextmanager
def results_stream() -> Iterator[TextIO]:
    """Yield what writes to stdout. All other prints within the block go to stderr.

    That holds for prints of C libraries and child processes too, where stdout is a descriptor.
    """
    stdout = sys.stdout
    if os.name == "nt" or not _is_descriptor(stdout, STDOUT):
        with redirect_stdout(sys.stderr):
            yield stdout
        return
    stdout.flush()
    saved = os.dup(STDOUT)
    results = _Results(os.fdopen(saved, "wb"), stdout.encoding, "layton_bench.spell")
    os.dup2(STDERR, STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield results
    finally:
        with suppress(BrokenPipeError):
            stdout.flush()  # prints that went past sys.stdout
        os.dup2(saved, STDOUT)
        with suppress(OSError):  # it has been reported when it was written
            results.close()


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False
