import math
import re

import pytest

from layton_bench.report.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Measured,
    Point,
    Scatter,
    format_bits,
    format_seconds,
    interval_bars,
    scatter,
)


def point(label: str, x: float, y: float, **more) -> Point:
    return Point(label=label, family=label[0], x=x, y=y, **more)


def drawn(*points: Point, direction="higher") -> Scatter:
    made = scatter(points, direction=direction, x_title="x", y_title="y", format_x=str)
    assert made is not None
    return made


def at(plot: Scatter, ticks: str, text: str) -> float:
    return next(t.at for t in getattr(plot, ticks) if t.text == text)


def test_points_stand_where_the_axes_say() -> None:
    plot = drawn(point("a", 10, 20), point("b", 1000, 30, low=25, high=35))
    a, b = plot.marks
    assert a.x == at(plot, "x_ticks", "10.0")
    assert b.x == at(plot, "x_ticks", "1000.0")
    assert at(plot, "x_ticks", "100.0") == pytest.approx((a.x + b.x) / 2, abs=0.1)
    first, *_, last = plot.y_ticks
    share = (20 - float(first.text)) / (float(last.text) - float(first.text))
    assert a.y == pytest.approx(first.at + share * (last.at - first.at), abs=0.1)
    low, high = b.low, b.high
    assert low is not None
    assert high is not None
    assert b.y == pytest.approx((low + high) / 2, abs=0.1)
    assert high < b.y < low  # up is more
    for mark in plot.marks:
        assert LEFT <= mark.x <= WIDTH - RIGHT
        assert TOP <= mark.y <= HEIGHT - BOTTOM


def test_the_front_goes_level_and_then_straight_to_the_next_point() -> None:
    points = [point("a", 1, 10), point("b", 10, 9), point("c", 100, 30), point("d", 100, 20)]
    plot = drawn(*points)
    a, b, c, d = plot.marks
    assert [m.is_front for m in plot.marks] == [True, False, True, False]
    assert plot.front == f"M{a.x:g} {a.y:g}H{c.x:g}V{c.y:g}"
    lower = drawn(*points, direction="lower")
    assert [m.is_front for m in lower.marks] == [True, True, False, False]
    assert d.x == c.x
    assert b.y > a.y


def test_what_cannot_be_drawn_is_not() -> None:
    plot = drawn(
        point("a", 1, 10), point("b", 2, 11, low=-math.inf, high=12), point("c", 3, math.inf),
        point("d", 0, 5),
    )  # fmt: skip
    assert [m.label for m in plot.marks] == ["a", "b"]
    assert plot.marks[1].low is None
    assert scatter([point("a", 1, 1)], direction="higher", x_title="", y_title="",
                   format_x=str) is None  # fmt: skip
    assert interval_bars([Measured(label="a", text="inf", value=math.inf, low=None, high=None)],
                         title="") is None  # fmt: skip


def boxes(plot: Scatter) -> list[tuple[float, float, float, float]]:
    found = []
    for mark in plot.marks:
        if mark.label_at is not None:
            x, y, anchor = mark.label_at
            width = 6.5 * len(mark.label)
            left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
            found.append((left, y - 9, left + width, y + 2))
    return found


def test_labels_never_cover_each_other_or_leave_the_plot() -> None:
    points = [point(f"model-{i}", 10 + i % 7, 20 + (i * 7 % 13) / 5) for i in range(150)]
    plot = drawn(*points)
    found = boxes(plot)
    assert 20 < len(found) < 150  # some have no room, and are left to their titles
    for number, a in enumerate(found):
        assert a[0] >= LEFT
        assert a[2] <= WIDTH
        for b in found[number + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_no_label_is_struck_through_by_the_front() -> None:
    plot = drawn(point("first-model", 10, 20), point("second-model", 1000, 30))
    first, second = plot.marks
    for left, top, right, bottom in boxes(plot):
        assert not (left < second.x and right > first.x and top < first.y < bottom)


def test_equal_values_make_a_plot_all_the_same() -> None:
    plot = drawn(point("a", 5, 1.0), point("b", 5, 1.0))
    assert plot.marks[0].x == plot.marks[1].x
    assert plot.front == ""
    assert all(math.isfinite(t.at) for t in (*plot.x_ticks, *plot.y_ticks))


def test_bars_hold_the_interval_about_the_value() -> None:
    rows = [
        Measured(label="a", text="0.50", value=0.5, low=0.25, high=0.75),
        Measured(label="b", text="0.10", value=0.1, low=None, high=None),
        Measured(label="c", text="inf", value=math.inf, low=None, high=None),
    ]
    made = interval_bars(rows, title="SSIM")
    assert made is not None
    a, b = made.bars
    assert a.low is not None
    assert a.high is not None
    assert a.low < a.x < a.high
    assert a.x == pytest.approx((a.low + a.high) / 2, abs=0.1)
    assert (b.low, b.label, b.text) == (None, "b", "0.10")
    assert b.x < a.low
    assert a.y < b.y < made.height


def test_axes_write_units() -> None:
    assert [format_bits(v) for v in (448, 3584, 1572864)] == ["448 bit", "3.58 kbit", "1.57 Mbit"]
    assert [format_seconds(v) for v in (2.5, 0.0125, 2e-6)] == ["2.5 s", "12.5 ms", "2 µs"]
    plot = drawn(point("a", 1, 0.1), point("b", 2, 0.30000000000000004))
    assert all(re.fullmatch(r"\d\.?\d*", tick.text) for tick in plot.y_ticks)
