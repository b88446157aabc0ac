"""How tables and pages name a run, a metric and a value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from layton_bench.errors import shown
from layton_bench.metrics import Direction
from layton_bench.records.record import MetricResult, RunRecord

ARROWS: dict[Direction, str] = {"higher": "↑", "lower": "↓", "zero": "→0", "none": ""}


def heading(result: MetricResult) -> str:
    """Return a metric's label with its unit and an arrow to the better side."""
    unit = f" ({result.unit})" if result.unit else ""
    return shown(f"{result.label}{unit} {ARROWS[result.direction]}".strip())


def display_name(record: RunRecord) -> str:
    """Return the model's title, with its changed options and its dtype if not float32.

    A model with the user's own weights has its name and their digest: it is not the published one.
    """
    info = record.model
    return shown(_with(info.name if info.own_weights else info.card.title or info.name, [
        *(f"own weights, {info.weights.get(name, '')[:12]}…" for name in info.own_weights),
        *(f"{key}={info.options[key]}" for key in info.changed_options),
        *([info.dtype] if info.dtype != "float32" else []),
    ]))  # fmt: skip


def distinct_names(records: Sequence[RunRecord]) -> list[str]:
    """Return the shown name of each record. Equal names get what tells their runs apart."""
    names = [display_name(record) for record in records]
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name, []).append(index)
    for name, group in groups.items():
        if len(group) > 1:
            details = _differing([dict(_details(records[index])) for index in group])
            for index, detail in zip(group, details, strict=True):
                names[index] = shown(_with(name, detail))
    return names


def _details(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what else tells a run apart, the most telling first; its id always does."""
    info = record.model
    yield "model", info.name
    yield "seed", f"seed {record.seed}"
    options = (f"{name}={value}" for name, value in info.options.items())
    yield "options", ", ".join(options)
    weights = (f"{name} {digest[:12]}" for name, digest in info.weights.items())
    yield "weights", ", ".join(weights)
    if "samples" in record.inputs:
        yield "samples", f"samples {str(record.inputs['samples'])[:12]}"
    yield "run", f"run {record.run_id}"


def _differing(details: Sequence[dict[str, str]]) -> Iterator[list[str]]:
    """Yield of each run the details that differ, and only as many as are needed."""
    chosen: list[str] = []
    for kind in ("model", "seed", "options", "weights", "samples", "run"):
        if len({tuple(d.get(k, "") for k in chosen) for d in details}) == len(details):
            break
        if len({d.get(kind, "") for d in details}) > 1:
            chosen.append(kind)
    for detail in details:
        yield [text for kind in chosen if (text := detail.get(kind, ""))]


def _with(name: str, details: Iterable[str]) -> str:
    text = ", ".join(details)
    return f"{name} ({text})" if text else name


def number(result: MetricResult | None) -> float | None:
    """Return the value of a metric; None if there is none, or if it is not a number."""
    if result is None or result.value is None or math.isnan(result.value):
        return None
    return result.value


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
    value = number(result)
    if value is None:
        return "n/a"
    text = _decimal(value, result.digits)
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
