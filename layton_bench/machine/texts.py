"""Text files: one way to read TOML, JSON and CSV, whoever saved them.

UTF-8 is expected. A byte order mark is skipped, and the one of UTF-16 is obeyed. What cannot be
read is a UserError that names the file and, where it is known, the line.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layton_bench.errors import UserError, file_error, reason_of
from layton_bench.machine.files import read_regular

MAX_TEXT_BYTES = 2**28
"""Larger text files are refused."""

_LINE_END = re.compile(r"\r\n|\r|\n")


def read_text(path: Path, *, name: str = "") -> str:
    """Return the text of a file, without byte order mark.

    Args:
        path: the file.
        name: what a message calls it; its path by default.

    Raises:
        UserError: it cannot be read, is too large, or is not UTF-8.
    """
    name = name or str(path)
    try:
        data = read_regular(path, max_bytes=MAX_TEXT_BYTES)
    except OSError as error:
        raise file_error(error, name) from error
    return decode_text(data, name=name)


def decode_text(data: bytes, *, name: str) -> str:
    """Return the text of a file's contents, as ``read_text`` does."""
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"line {line} is not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise UserError(name, reason, "Save it as UTF-8.") from error


def lines_of(text: str) -> list[str]:
    """Split a text where an editor does; ``str.splitlines`` also splits at U+2028 and others."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def read_toml(path: Path, *, name: str = "", remedy: str = "Fix the file.") -> dict[str, Any]:
    """Return the table of a TOML file; raises UserError naming file and line."""
    text = read_text(path, name=name)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a huge integer is a plain ValueError
        raise UserError(name or str(path), f"not valid TOML: {_why(error)}", remedy) from error


def read_json(path: Path, *, name: str = "", remedy: str = "Fix the file.") -> Any:
    """Return the value in a JSON file; raises UserError naming file and line."""
    return parse_json(read_text(path, name=name), name=name or str(path), remedy=remedy)


def parse_json(text: str, *, name: str, remedy: str = "Fix the file.") -> Any:
    """Return the value of a JSON text; raises UserError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(name, f"not valid JSON: {_why(error)}", remedy) from error


def read_csv(
    path: Path, *, name: str = "", delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells by column of each row of a CSV file with a header.

    Cells that a row lacks are empty.

    Raises:
        UserError: it cannot be read, or a row has more cells than the header; names the line.
    """
    yield from parse_csv(read_text(path, name=name), name=name or str(path), delimiter=delimiter)


def parse_csv(
    text: str, *, name: str, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of each row of a CSV text, as ``read_csv`` does."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", delimiter=delimiter)
    try:
        for row in reader:
            if None in row:
                raise csv.Error("it has more cells than the header")
            yield reader.line_num, row
    except csv.Error as error:
        reason = f"line {reader.reader.line_num}: {error}"
        raise UserError(name, reason, "Fix the line.") from error


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else reason_of(error)
