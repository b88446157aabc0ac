"""Published numbers: shown next to measured numbers, never mixed with them.

``results/reported.csv`` has one number per row, with the fields of ``Reported``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layton_bench.errors import UserError, pydantic_problem
from layton_bench.machine import parse_csv, read_regular, read_text
from layton_bench.records import escape, table

_log = logging.getLogger(__name__)

REPORTED = "reported.csv"


class Reported(BaseModel):
    """A published number."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Annotated[str, Field(min_length=1)]
    """Model, by its name in layton-bench."""
    suite: Annotated[str, Field(min_length=1)]
    """The suite that is closest to the publication's protocol."""
    metric: Annotated[str, Field(min_length=1)]
    """Metric, as the source names it, in lower case."""
    value: Annotated[float, Field(allow_inf_nan=False)]
    """The number."""
    source: Annotated[str, Field(min_length=1)]
    """Who published the number, and where."""
    protocol: str = ""
    """What is known about how it was measured."""
    note: str = ""
    """Why the number is doubtful or not comparable."""


def read_reported(results: Path, suite: str | None = None) -> list[Reported]:
    """Return the published numbers of a results folder, in the file's order.

    What cannot be read is left out and named: a line, or the rest of the file.
    """
    path = results / REPORTED
    if not path.is_file():
        return []
    found = []
    try:
        text = _text(path)
        is_semicolon = ";" in text.partition("\n")[0]  # Excel's, where the comma is decimal
        for line, row in parse_csv(text, name=str(path), delimiter=";" if is_semicolon else ","):
            if is_semicolon and "value" in row:
                row["value"] = row["value"].replace(",", ".")
            if (one := _parse(path, line, row)) is not None:
                found.append(one)
    except UserError as error:
        _log.warning("left out: %s", error)
    return [row for row in found if suite in (None, row.suite)]


def _text(path: Path) -> str:
    """Return the file's text: UTF-8, or Windows-1252, in which Excel saves CSV."""
    try:
        return read_text(path)
    except UserError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
    text = read_regular(path).decode("cp1252", errors="replace")
    _log.warning("%s is not UTF-8: read as Windows-1252. Save it as UTF-8.", path)
    return text


def reported_values(results: Path, suite: str, model: str) -> dict[str, float]:
    """Return a model's first published number per metric on a suite; raises UserError for none."""
    base = model.partition("@")[0]
    rows = [row for row in read_reported(results, suite) if row.model in (model, base)]
    if not rows:
        raise UserError(
            f"model '{model}' on suite '{suite}'",
            f"{results / REPORTED} has no published number",
            "Give a number with --reported METRIC=VALUE.",
        )
    return {row.metric: row.value for row in reversed(rows)}


def _parse(path: Path, line: int, row: dict[str, str]) -> Reported | None:
    try:
        return Reported.model_validate(row)
    except ValidationError as error:
        _log.warning("left out: %s, line %d: %s", path, line, pydantic_problem(error))
        return None


def reported_markdown(rows: Sequence[Reported]) -> str:
    """Return a separate table, titled as not measured here; empty without rows."""
    if not rows:
        return ""
    headings = ("Suite", "Model", "Metric", "Source", "Protocol", "Note", "Value")
    cells = [
        [
            *map(escape, (row.suite, row.model, row.metric, row.source, row.protocol, row.note)),
            f"{row.value:g}",
        ]
        for row in rows
    ]
    return f"### Reported elsewhere, not measured here\n\n{table(headings, cells, texts=6)}\n"
