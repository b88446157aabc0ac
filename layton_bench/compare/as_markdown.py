"""A comparison as rows of text, and as Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from layton_bench.records import ARROWS, display_name, escape, table

if TYPE_CHECKING:
    from layton_bench.compare.differences import Comparison, Difference
    from layton_bench.records import RunRecord

HEADINGS = ("Metric", "A", "B", "B − A", "Interval", "Effect", "p (Holm)", "Verdict")
"""Column headings of a comparison. The interval has the confidence 1 − alpha."""


def comparison_rows(comparison: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the headings and one row of text per metric. The verdict comes last."""
    return HEADINGS, [_row(difference) for difference in comparison.differences]


def _row(d: Difference) -> tuple[str, ...]:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    digits = d.digits
    interval = ""
    if d.low is not None and d.high is not None and math.isfinite(d.high - d.low):
        interval = f"[{d.low:+.{digits}f}, {d.high:+.{digits}f}]"
    return (
        f"{d.label} {ARROWS[d.direction]}".strip(),
        number(d.baseline, f".{digits}f"),
        number(d.now, f".{digits}f"),
        number(d.difference, f"+.{digits}f"),
        interval,
        number(d.effect_size, "+.2f"),
        number(d.p_value, ".2g"),
        d.verdict,
    )


def run_lines(comparison: Comparison) -> tuple[str, str]:
    """Return a line for run A and one for run B: name, id, and all settings."""
    a, b = comparison.baseline, comparison.now
    return f"A: {_settings(a)}", f"B: {_settings(b)}"


def _settings(record: RunRecord) -> str:
    options = [f"{name}={value}" for name, value in record.model.options.items()]
    settings = (*options, record.model.dtype, f"seed {record.seed}")
    return f"{display_name(record)}, run {record.run_id} ({', '.join(settings)})"


def to_markdown(comparison: Comparison, *, picture: str | None = None) -> str:
    """Return the comparison as a Markdown section for a pull request.

    Args:
        comparison: the comparison.
        picture: address of the picture of the samples that changed most.
    """
    a, b = comparison.baseline, comparison.now
    headings, rows = comparison_rows(comparison)
    lines = [
        f"### {escape(display_name(b))} against {escape(display_name(a))} on {a.suite.name}",
        "",
        f"{b.completeness.effective:,} samples.",
        "",
        *(f"- {escape(line)}" for line in run_lines(comparison)),
        "",
        table(headings, [[escape(c) for c in row] for row in rows], texts=1),
    ]
    notes = [f"- {d.label}: {escape(d.note)}" for d in comparison.differences if d.note]
    lines += ["", *notes] if notes else []
    if len(comparison.moved):
        lines += ["", f"Samples whose {comparison.moved_metric} changed most:", ""]
        cells = [
            [f"{v:.3f}" if isinstance(v, float) else escape(str(v)) for v in row]
            for row in comparison.moved.itertuples(index=False, name=None)
        ]
        lines.append(table(list(comparison.moved.columns), cells, texts=1))
    if picture is not None:
        lines += ["", f"![The samples that changed most: original, A, B, difference]({picture})"]
    return "\n".join(lines) + "\n"
