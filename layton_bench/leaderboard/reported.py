"""Published numbers: shown next to measured numbers, never mixed with them.

``results/reported.csv`` has one number per row, with the fields of ``Reported``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layton_bench.errors import UserError, pydantic_problem
from layton_bench.machine import read_csv
from layton_bench.records import escape, table

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
    value: float
    """The number."""
    source: Annotated[str, Field(min_length=1)]
    """Who published the number, and where."""
    protocol: str = ""
    """What is known about how it was measured."""
    note: str = ""
    """Why the number is doubtful or not comparable."""


def read_reported(results: Path, suite: str | None = None) -> list[Reported]:
    """Return the published numbers of a results folder, in the file's order.

    Raises:
        UserError: a line is wrong; the message names it.
    """
    path = results / REPORTED
    if not path.is_file():
        return []
    found = [_parse(path, number, row) for number, row in read_csv(path)]
    return [row for row in found if suite in (None, row.suite)]


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


def _parse(path: Path, line: int, row: dict[str, str]) -> Reported:
    try:
        return Reported.model_validate(row)
    except ValidationError as error:
        raise UserError(f"{path}, line {line}", pydantic_problem(error), "Fix the line.") from None


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
