"""`layton-bench time`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from layton_bench import machine, run as running
from layton_bench.cli.console import State, out, print_json, print_line, print_note
from layton_bench.cli.options import AsJson, Device, Dtype, Settings
from layton_bench.cli.tables import new_table
from layton_bench.errors import UserError


def time(
    context: typer.Context,
    model: Annotated[
        list[str],
        typer.Option(help="Model to time. Two models give the ratio of their speeds."),
    ],
    batch_sizes: Annotated[
        str, typer.Option(help="Batch sizes, separated by commas. auto finds the fastest.")
    ] = "1,auto",
    resolution: Annotated[int | None, typer.Option(help="Side of the images in pixels.")] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Time at least this many calls.")] = 5,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Time for at least this many seconds.")
    ] = 2.0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    setting: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measure the speed of a tokenizer or a generator: images/s, FLOPs, memory."""
    if len(model) > 2:
        raise UserError("--model", f"{len(model)} models", "Give one or two models.")
    state: State = context.obj
    sizes = [machine.parse_batch_size(text) for text in batch_sizes.split(",")]
    effort = running.Effort(min_repeats=repeats, min_seconds=seconds)
    loaded = [
        running.load(
            state.plugins, name, device=device, dtype=dtype, size_px=resolution,
            settings=setting or (),
        )
        for name in model
    ]  # fmt: skip
    found = running.time_models(loaded, sizes, effort)
    if as_json:
        print_json(asdict(found))
    else:
        _print_speeds(found.speeds)
        for size, ratios in found.ratios.items():
            _print_ratios(model, size, ratios)
    for name, failed in found.not_timed.items():
        for one in failed:
            tried = "auto" if one.batch_size is None else str(one.batch_size)
            print_note(f"{name}, batch {tried}: {one.reason}")


def _print_speeds(speeds: dict[str, list[running.Speed]]) -> None:
    table = new_table(
        "model", "phase", "batch", "ms/call [95%]", "p90 [95%]", "images/s", "tokens/s",
        "parameters", "GFLOPs/image", "of matmul rate", "MiB host", "MiB device",
    )  # fmt: skip
    for name, rows in speeds.items():
        for s in rows:
            cells: Sequence[str] = (
                name, s.phase, str(s.batch_size),
                _milliseconds(s.median, s.median_low, s.median_high),
                _milliseconds(s.p90, s.p90_low, s.p90_high), f"{s.images_per_second:.2f}",
                "" if s.tokens_per_second is None else f"{s.tokens_per_second:,.0f}",
                "" if s.parameters is None else f"{s.parameters / 1e6:,.1f} M",
                "" if s.flops_per_image is None else f"{s.flops_per_image / 1e9:,.2f}",
                "" if s.matmul_share is None else f"{s.matmul_share:.0%}",
                f"{s.peak_host_mib:,.0f}",
                "" if s.peak_device_mib is None else f"{s.peak_device_mib:,.0f}",
            )  # fmt: skip
            table.add_row(*map(Text, cells))
    out.print(table)


def _milliseconds(seconds: float, low: float | None, high: float | None) -> str:
    text = f"{1e3 * seconds:.1f}"
    if low is None or high is None:
        return text
    return f"{text} [{1e3 * low:.1f}, {1e3 * high:.1f}]"


def _print_ratios(model: Sequence[str], batch_size: int, found: dict[str, running.Ratio]) -> None:
    for phase, r in found.items():
        print_line(
            f"{phase}, batch {batch_size}: {model[1]} is {r.median:.2f}x as fast as {model[0]}"
            f" [{r.low:.2f}, {r.high:.2f}], {r.num_pairs} pairs of calls"
        )
