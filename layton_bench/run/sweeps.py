"""One model over the values of an option: a table, and curves of quality against time."""

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
    from matplotlib.axes import Axes


def combinations(settings: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every pair of ``steps=1,2`` and ``cfg=1,4``, the last option fastest.

    Raises:
        UserError: a setting is not NAME=VALUE,VALUE.
    """
    choices = []
    for setting in settings:
        name, separator, values = setting.partition("=")
        if not separator or not all(values.split(",")):
            raise UserError(
                f"--set {setting}", "not NAME=VALUE,VALUE …", "Write, for example, steps=1,2,4,8."
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
    """Run every combination of option values, one after the other. Each has its own record.

    Args:
        plugins: where names are looked up.
        suite_name: suite to run.
        model_name: model to run.
        settings: ``NAME=VALUE,VALUE`` for each option to vary.
        options: how to run.
        reporter: shows the progress.

    Raises:
        UserError: as ``run``; the finished runs are kept.
    """
    for chosen in combinations(settings):
        yield run(plugins, suite_name, model_name, options, settings=chosen, reporter=reporter)


def table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return one row per run: options, each metric's value, seconds and operations per image.

    Only runs of this call have times. A run that existed before may come from another machine, or
    from a busier hour.
    """
    import pandas as pd

    rows = []
    for outcome in outcomes:
        record, timing = outcome.run.record, outcome.run.record.timing
        is_new = not outcome.is_reused
        row: dict[str, object] = dict(record.model.options)
        row |= {name: result.value for name, result in record.metrics.items()}
        row["encode_seconds_per_image"] = timing.encode_seconds_per_image if is_new else None
        row["decode_seconds_per_image"] = timing.decode_seconds_per_image if is_new else None
        row["decode_gflops_per_image"] = (timing.decode_flops_per_image or 0.0) / 1e9 or None
        rows.append(row)
    return pd.DataFrame(rows)


def draw_curves(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw a PNG with two panels: a metric against the option, and against time.

    The metric is the first one with a direction and a value.

    Raises:
        UserError: there is nothing to draw, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    records = [outcome.run.record for outcome in outcomes]
    metric = _first_metric(records[0])
    result, frame = records[0].metrics[metric], table(outcomes)
    varied = next((n for n in records[0].model.options if frame[n].nunique() > 1), None)
    ticks = [str(value) for value in frame[varied]] if varied else ["" for _ in records]
    frame = frame.assign(position=range(len(records)), tick=ticks, metric=frame[metric])
    frame["low"] = [r.metrics[metric].low for r in records]
    frame["high"] = [r.metrics[metric].high for r in records]
    timed = frame[frame["decode_seconds_per_image"].notna()]

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_ylabel(f"{result.label}{f' ({result.unit})' if result.unit else ''}")
    _curve(left, frame, "position", varied or "")
    _curve(right, timed, "decode_seconds_per_image", "decode seconds per image")
    left.set_xticks(frame["position"], ticks)
    for row in timed.itertuples():
        point = (row.decode_seconds_per_image, row.metric)
        right.annotate(row.tick, point, textcoords="offset points", xytext=(5, 5))
    if timed.empty:
        right.set_title("no times: these runs existed already", fontsize="medium")
    figure.suptitle(f"{records[0].model.name} on {records[0].suite.name}")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise output_error(path, error) from error


def _first_metric(record: RunRecord) -> str:
    for name, result in record.metrics.items():
        if result.direction != "none" and result.value is not None:
            return name
    raise UserError("sweep", "no metric has a value to draw", "Choose others with --metric.")


def _curve(panel: Axes, frame: pd.DataFrame, across: str, label: str) -> None:
    panel.plot(frame[across], frame["metric"], marker="o")
    if frame[["low", "high"]].notna().all(axis=None):
        panel.vlines(frame[across], frame["low"], frame["high"], alpha=0.4)
    panel.set_xlabel(label)
    panel.grid(alpha=0.3)
