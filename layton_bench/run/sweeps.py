"""One model over the values of an option: a table and curves of quality against steps and time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import UserError, output_error
from layton_bench.machine import Reporter
from layton_bench.records import RunRecord
from layton_bench.registry import Plugins
from layton_bench.run.execution import Outcome, run
from layton_bench.run.plan import RunOptions

if TYPE_CHECKING:
    import pandas as pd


def combinations(settings: Sequence[str]) -> list[tuple[str, ...]]:
    """``steps=1,2`` and ``cfg=1,4`` → every pair, the last option fastest; raises UserError."""
    choices = []
    for setting in settings:
        name, separator, values = setting.partition("=")
        if not separator or not all(values.split(",")):
            raise UserError(
                f"--set {setting}", "not NAME=VALUE,VALUE …", "Write steps=1,2,4,8, say."
            )
        choices.append([f"{name}={value}" for value in values.split(",")])
    return list(itertools.product(*choices))


def sweep(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    settings: Sequence[str],
    options: RunOptions,
    *,
    reporter: Reporter | None = None,
) -> Iterator[Outcome]:
    """Run every combination of option values, one after the other; each has its own record.

    Args:
        plugins: where names are looked up.
        suite_name: suite to run.
        model_name: model to run.
        settings: ``NAME=VALUE,VALUE`` for each option to vary.
        options: how to run.
        reporter: told how it goes on.

    Raises:
        UserError: as ``run``; what was finished before is kept.
    """
    for chosen in combinations(settings):
        yield run(plugins, suite_name, model_name, options, settings=chosen, reporter=reporter)


def table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a run: options, each metric's value, seconds and operations an image."""
    import pandas as pd

    rows = []
    for record in records:
        timing = record.timing
        row: dict[str, object] = dict(record.model.options)
        row |= {name: result.value for name, result in record.metrics.items()}
        row["encode_seconds_per_image"] = timing.encode_seconds_per_image
        row["decode_seconds_per_image"] = timing.decode_seconds_per_image
        row["decode_gflops_per_image"] = (timing.decode_flops_per_image or 0.0) / 1e9 or None
        rows.append(row)
    return pd.DataFrame(rows)


def draw_curves(records: Sequence[RunRecord], path: Path) -> None:
    """PNG with two panels: the first metric with a direction against the option, and against time.

    Raises:
        UserError: nothing to draw, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    metric = next(
        (n for n, r in records[0].metrics.items() if r.direction != "none" and r.value is not None),
        None,
    )
    if metric is None:
        raise UserError("sweep", "no metric has a value to draw", "Choose others with --metric.")
    result, frame = records[0].metrics[metric], table(records)
    varied = next((n for n in records[0].model.options if frame[n].nunique() > 1), None)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    unit = f" ({result.unit})" if result.unit else ""
    left.set_ylabel(f"{result.label}{unit}")
    low = [r.metrics[metric].low for r in records]
    high = [r.metrics[metric].high for r in records]
    ticks = [str(value) for value in frame[varied]] if varied else ["" for _ in records]
    for panel, positions, name in (
        (left, list(range(len(records))), varied or ""),
        (right, frame["decode_seconds_per_image"].tolist(), "decode seconds an image"),
    ):
        panel.plot(positions, frame[metric], marker="o")
        if all(v is not None for v in (*low, *high)):
            panel.vlines(positions, low, high, alpha=0.4)
        panel.set_xlabel(name)
        panel.grid(alpha=0.3)
    left.set_xticks(range(len(records)), ticks)
    for x, y, text in zip(frame["decode_seconds_per_image"], frame[metric], ticks, strict=True):
        right.annotate(text, (x, y), textcoords="offset points", xytext=(5, 5))
    figure.suptitle(f"{records[0].model.name} on {records[0].suite.name}")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise output_error(path, error) from error
