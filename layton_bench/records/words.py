"""How tables and pages name a run, a metric and a value."""

from __future__ import annotations

import math

from layton_bench.metrics import Direction
from layton_bench.records.record import MetricResult, RunRecord

ARROWS: dict[Direction, str] = {"higher": "↑", "lower": "↓", "zero": "→0", "none": ""}


def heading(result: MetricResult) -> str:
    """Return a metric's label with its unit and an arrow to the better side."""
    unit = f" ({result.unit})" if result.unit else ""
    return f"{result.label}{unit} {ARROWS[result.direction]}".strip()


def display_name(record: RunRecord) -> str:
    """Return the model's title, with its changed options and its dtype if not float32."""
    info = record.model
    extras = [f"{key}={info.options[key]}" for key in info.changed_options]
    extras += [info.dtype] if info.dtype != "float32" else []
    shown = info.card.title or info.name
    return f"{shown} ({', '.join(extras)})" if extras else shown


def marks(record: RunRecord) -> list[str]:
    """Return what makes a run incomplete: interrupted, partial, failed samples."""
    done, found = record.completeness, []
    if record.status == "interrupted":
        found.append(f"interrupted at {done.effective:,} of {done.expected:,}")
    elif record.status == "partial":
        found.append(f"partial: {done.effective:,} of {done.expected:,}")
    if done.failed:
        found.append(f"{len(done.failed)} failed")
    return found


def format_value(result: MetricResult | None, *, with_interval: bool = True) -> str:
    """Return the text of a table cell; empty for a metric that does not apply."""
    if result is None:
        return ""
    if result.value is None:
        return "n/a"
    text = _decimal(result.value, result.digits)
    if with_interval and _has_width(result):
        low, high = (_decimal(end or 0.0, result.digits) for end in (result.low, result.high))
        text += f" [{low}, {high}]"
    return text


def _decimal(value: float, digits: int) -> str:
    # adding 0 to a rounded value turns -0.0 into 0.0
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _has_width(result: MetricResult) -> bool:
    """Whether the interval still has two different ends after rounding."""
    low, high = result.low, result.high
    if low is None or high is None or not math.isfinite(high - low):
        return False
    return round(low, result.digits) != round(high, result.digits)
