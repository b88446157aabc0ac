"""Values → positions in a drawing: scatter plots with a Pareto line, and interval bars.

Positions are in units of the SVG's viewBox, from its upper left corner. The templates draw them:
there, colours follow the reader's light or dark theme, and every label is escaped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layton_bench.leaderboard import on_front
from layton_bench.metrics import Direction, badness

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 16, 50
_LETTER, _LINE = 7.0, 13  # of a label at 11 units, in the widest usual font
_ROW = 22
_NAME = 190  # room for the names beside interval bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A model to draw: its cost x > 0, its value and interval, its label and family."""

    label: str
    family: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A drawn point; ``label_at`` is None if there is no room for its label."""

    x: float
    y: float
    low: float | None
    high: float | None
    label: str
    title: str
    family: int
    is_front: bool
    label_at: tuple[float, float, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Cost on a logarithmic axis against quality."""

    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    front: str
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A model's value and interval on one line."""

    label: str
    text: str
    y: float
    x: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Interval bars, one line per model."""

    title: str
    height: int
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]


def scatter(
    points: Sequence[Point],
    *,
    direction: Direction,
    x_title: str,
    y_title: str,
    format_x: Callable[[float], str],
) -> Scatter | None:
    """Place points; None for fewer than two points with finite values."""
    drawn = [p for p in points if p.x > 0 and math.isfinite(p.x) and math.isfinite(p.y)]
    if len(drawn) < 2:
        return None
    ends = [end for p in drawn for end in (p.low, p.y, p.high) if end is not None]
    y_values = _ticks([end for end in ends if math.isfinite(end)])
    x_values = _log_ticks([p.x for p in drawn])
    families = tuple(dict.fromkeys(p.family for p in sorted(drawn, key=lambda p: p.family)))
    flags = on_front([(p.x, badness(p.y, direction)) for p in drawn])
    x_of = _scale(_log_span([p.x for p in drawn]), LEFT, WIDTH - RIGHT)
    y_of = _scale((y_values[0], y_values[-1]), HEIGHT - BOTTOM, TOP)

    def height(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else y_of(value)

    places = [(x_of(math.log10(p.x)), y_of(p.y)) for p in drawn]
    front = [place for place, flag in zip(places, flags, strict=True) if flag]
    labels = _place_labels([p.label for p in drawn], places, _front_boxes(front))
    marks = [
        Mark(
            x=x, y=y, low=height(p.low), high=height(p.high), label=p.label,
            title=f"{p.label}: {_number(p.y)} at {format_x(p.x)}",
            family=families.index(p.family), is_front=flag, label_at=label,
        )
        for p, (x, y), flag, label in zip(drawn, places, flags, labels, strict=True)
    ]  # fmt: skip
    return Scatter(
        x_title=x_title,
        y_title=y_title,
        x_ticks=tuple(Tick(at=x_of(math.log10(v)), text=format_x(v)) for v in x_values),
        y_ticks=tuple(Tick(at=y_of(v), text=_number(v)) for v in y_values),
        marks=tuple(marks),
        front=_staircase(front),
        families=families,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A value to draw as a bar."""

    label: str
    text: str
    value: float
    low: float | None
    high: float | None


def interval_bars(rows: Sequence[Measured], *, title: str) -> Bars | None:
    """Place values and intervals; None without a finite value."""
    drawn = [row for row in rows if math.isfinite(row.value)]
    if not drawn:
        return None
    ends = [e for r in drawn for e in (r.low, r.value, r.high) if e is not None]
    values = _ticks([end for end in ends if math.isfinite(end)])
    x_of = _scale((values[0], values[-1]), _NAME, WIDTH - RIGHT - 130)
    bars = [
        Bar(
            label=row.label,
            text=row.text,
            y=TOP + _ROW * (number + 0.5),
            x=x_of(row.value),
            low=_end(row.low, x_of),
            high=_end(row.high, x_of),
        )
        for number, row in enumerate(drawn)
    ]
    return Bars(
        title=title,
        height=TOP + _ROW * len(drawn) + 30,
        ticks=tuple(Tick(at=x_of(v), text=_number(v)) for v in values),
        bars=tuple(bars),
    )


def _end(value: float | None, x_of: Callable[[float], float]) -> float | None:
    return None if value is None or not math.isfinite(value) else x_of(value)


def _scale(span: tuple[float, float], start: float, stop: float) -> Callable[[float], float]:
    low, high = span
    width = high - low or 1.0
    return lambda value: round(start + (value - low) / width * (stop - start), 1)


def _ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers from below the smallest to above the largest value."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(values), max(values)
    pad = 0.02 * (high - low) or 0.5 * abs(high) or 0.5
    return [float(v) for v in MaxNLocator(nbins=6).tick_values(low - pad, high + pad)]


def _log_span(values: Sequence[float]) -> tuple[float, float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = 0.05 * (high - low) or 0.3
    return low - pad, high + pad


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Return the powers of ten in the span; for a short span, also 2 and 5 times them."""
    low, high = _log_span(values)
    factors = (1, 2, 5) if high - low < 3 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    return [f * 10.0**d for d in decades for f in factors if low <= math.log10(f * 10.0**d) <= high]


def _staircase(places: Sequence[tuple[float, float]]) -> str:
    """Return the path of the best value at each cost, as a staircase."""
    ordered = sorted(set(places))
    if len(ordered) < 2:
        return ""
    (x, y), *rest = ordered
    return f"M{x:g} {y:g}" + "".join(f"H{x:g}V{y:g}" for x, y in rest)


_Box = tuple[float, float, float, float]


def _front_boxes(places: Sequence[tuple[float, float]]) -> list[_Box]:
    """Return the boxes that the staircase covers. Labels must not overlap them."""
    boxes = []
    ordered = sorted(set(places))
    for (x0, y0), (x1, y1) in itertools.pairwise(ordered):
        boxes += [(x0, y0 - 1, x1, y0 + 1), (x1 - 1, min(y0, y1), x1 + 1, max(y0, y1))]
    return boxes


def _place_labels(
    labels: Sequence[str], places: Sequence[tuple[float, float]], kept_free: Sequence[_Box]
) -> list[tuple[float, float, str] | None]:
    """Return a free place next to each point as (x, y, text-anchor), or None."""
    taken = [*kept_free, *((x - 5, y - 5, x + 5, y + 5) for x, y in places)]
    found: list[tuple[float, float, str] | None] = []
    for label, (x, y) in zip(labels, places, strict=True):
        width = _LETTER * len(label)
        choices = (
            (x + 9, y + 4, "start", x + 9), (x - 9, y + 4, "end", x - 9 - width),
            (x - 7, y - 8, "end", x - 7 - width), (x + 7, y + 17, "start", x + 7),
            (x, y - 10, "middle", x - width / 2), (x, y + 18, "middle", x - width / 2),
        )  # fmt: skip
        chosen = None
        for at_x, at_y, anchor, left in choices:
            box = (left, at_y - _LINE + 3, left + width, at_y + 3)
            if _is_inside(box) and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                chosen = (round(at_x, 1), round(at_y, 1), anchor)
                break
        found.append(chosen)
    return found


def _is_inside(box: _Box) -> bool:
    return box[0] >= LEFT and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT - BOTTOM


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _number(value: float) -> str:
    return f"{round(value, 10) + 0.0:.4g}"


def format_bits(value: float) -> str:
    """Return bits with a decimal prefix (``3.6 kbit``)."""
    for size, prefix in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}bit"
    return f"{value:.3g} bit"


def format_seconds(value: float) -> str:
    """Return seconds, milliseconds or microseconds (``12 ms``)."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"
