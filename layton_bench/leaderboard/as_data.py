"""Boards as data for scripts: CSV and JSON, one row per model and metric."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layton_bench.errors import shown

if TYPE_CHECKING:
    import pandas as pd

    from layton_bench.leaderboard.board import Board

_FIELDS = (
    "suite", "model", "options", "dtype", "metric", "value", "low", "high", "n", "direction",
    "bits_per_image", "status", "expected", "failed", "data", "signature", "note", "run",
)  # fmt: skip


def to_csv(made: Sequence[Board]) -> str:
    """Return the boards as CSV. An apostrophe precedes texts that a spreadsheet would compute."""
    return str(to_frame(made).map(_inert).to_csv(index=False))


def _inert(value: object) -> object:
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if is_formula else value


def to_json(made: Sequence[Board]) -> str:
    """Return the boards as JSON. An infinite value is the string "Infinity" or "-Infinity"."""
    rows = [
        {name: json_value(value) for name, value in row.items()}
        for row in to_frame(made).to_dict(orient="records")
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_frame(made: Sequence[Board]) -> pd.DataFrame:
    """Return one row per model and metric, with everything that a script may need."""
    import pandas as pd

    rows = [
        {
            "suite": record.suite.name,
            "model": record.model.name,
            "options": json.dumps(record.model.options, sort_keys=True),
            "dtype": record.model.dtype,
            "metric": name,
            "value": result.value,
            "low": result.low,
            "high": result.high,
            "n": result.n,
            "direction": result.direction,
            "bits_per_image": record.bits_per_image,
            "status": record.status,
            "expected": record.completeness.expected,
            "failed": len(record.completeness.failed),
            "data": record.data.fingerprint,
            "signature": result.signature,
            "note": f"unavailable: {result.unavailable}" if result.unavailable else result.note,
            "run": record.run_id,
        }
        for board in made
        for record in board.records
        for name, result in record.metrics.items()
    ]
    return pd.DataFrame(rows, columns=_FIELDS).map(lambda v: shown(v) if isinstance(v, str) else v)


def json_value(value: object) -> object:
    """Return a value that JSON can hold: None for NaN, a string for an infinity."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"
