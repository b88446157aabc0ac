"""`layton-bench time`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from layton_bench.cli.console import State, out
from layton_bench.cli.options import AsJson, Device, Dtype, Settings
from layton_bench.devices import parse_batch_size
from layton_bench.errors import UserError
from layton_bench.throughput import compare_speeds, load, time_model
from layton_bench.timing import Effort, Ratio, Speed


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("time")(time)


def time(
    context: typer.Context,
    model: Annotated[
        list[str], typer.Option(help="Model to time. Two are timed in turn for a ratio.")
    ],
    batch_sizes: Annotated[
        str, typer.Option(help="Batch sizes, with commas; auto finds the best.")
    ] = "1,auto",
    resolution: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
    repeats: Annotated[int, typer.Option(min=2, help="At least so many calls.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, help="At least so many seconds.")] = 2.0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    setting: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Time a model's encoder and decoder, or a generator: images/s, intervals, FLOPs, memory."""
    if len(model) > 2:
        raise UserError("--model", f"{len(model)} models", "Give one, or two for a ratio.")
    state: State = context.obj
    sizes = [parse_batch_size(text) for text in batch_sizes.split(",")]
    effort = Effort(min_repeats=repeats, min_seconds=seconds)
    loaded = [
        load(
            state.plugins, name, device=device, dtype=dtype, size_px=resolution,
            settings=setting or (),
        )
        for name in model
    ]  # fmt: skip
    speeds = {timed.spec.card.name: time_model(timed, sizes, effort) for timed in loaded}
    ratios = {
        size: compare_speeds(loaded[0], loaded[1], size, effort)
        for size in sizes
        if size is not None and len(loaded) == 2
    }
    if as_json:
        content = {
            "speeds": {name: [asdict(s) for s in rows] for name, rows in speeds.items()},
            "ratios": {
                str(size): {phase: asdict(r) for phase, r in found.items()}
                for size, found in ratios.items()
            },
        }
        out.out(json.dumps(content, indent=2))
        return
    _print_speeds(speeds)
    for size, found in ratios.items():
        _print_ratios(model, size, found)


def _print_speeds(speeds: dict[str, list[Speed]]) -> None:
    table = Table(
        "model", "phase", "batch", "ms/call", "95% interval", "p90", "images/s", "tokens/s",
        "GFLOPs/image", "of matmul rate", "MiB host", "MiB device",
    )  # fmt: skip
    for name, rows in speeds.items():
        for s in rows:
            interval = ""
            if s.median_low is not None and s.median_high is not None:
                interval = f"{1e3 * s.median_low:.1f}-{1e3 * s.median_high:.1f}"
            cells: Sequence[str] = (
                name, s.phase, str(s.batch_size), f"{1e3 * s.median:.1f}", interval,
                f"{1e3 * s.p90:.1f}", f"{s.images_per_second:.2f}",
                "" if s.tokens_per_second is None else f"{s.tokens_per_second:,.0f}",
                "" if s.flops_per_image is None else f"{s.flops_per_image / 1e9:,.2f}",
                "" if s.matmul_share is None else f"{s.matmul_share:.0%}",
                f"{s.peak_host_mib:,.0f}",
                "" if s.peak_device_mib is None else f"{s.peak_device_mib:,.0f}",
            )  # fmt: skip
            table.add_row(*map(Text, cells))
    out.print(table)


def _print_ratios(model: Sequence[str], batch_size: int, found: dict[str, Ratio]) -> None:
    for phase, r in found.items():
        out.print(
            Text(
                f"{phase}, batch {batch_size}: {model[1]} is {r.median:.2f}x as fast as {model[0]}"
                f" [{r.low:.2f}, {r.high:.2f}], {r.num_pairs} calls in turn"
            ),
            soft_wrap=True,
        )
