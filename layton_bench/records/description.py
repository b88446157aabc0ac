"""A run record as text, and its worst and best samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from layton_bench.errors import shown
from layton_bench.metrics import badness, influence_column
from layton_bench.records.folder import CANDIDATE_DIGEST, REFERENCE_DIGEST
from layton_bench.records.record import MetricResult, RunRecord
from layton_bench.records.words import display_name, format_value, heading, marks

if TYPE_CHECKING:
    import pandas as pd

_MOST_LINES = 20
_JSON_COLUMNS = ("-metadata", "-details")


def describe(record: RunRecord) -> str:
    """Return the record as plain text, the most important lines first."""
    return "\n".join(_lines(record))


def _lines(record: RunRecord) -> Iterator[str]:
    done, suite = record.completeness, record.suite
    yield f"{display_name(record)} on {suite.name} v{suite.version}"
    yield f"  run {record.run_id}, started {record.started}"
    state = "; ".join(marks(record)) or "complete"
    yield f"  {state}: {done.effective:,} of {done.expected:,} samples, seed {record.seed}"
    yield f"  {suite.protocol}, {suite.size_px or 'own'} px, rounding {suite.rounding}"
    yield f"  data {record.data.name}, content {record.data.fingerprint[:12]}"
    if record.bits_per_image is not None:
        bits = record.bits_per_image
        yield f"  {bits:,.0f} bits per image on average ({bits / 8:,.1f} bytes)"
    if record.model.card.notes:
        yield f"  {shown(record.model.card.notes)}"
    yield from _metrics(record)
    yield from _missing(record)
    yield from _machine(record)


def _metrics(record: RunRecord) -> Iterator[str]:
    yield "Metrics (95% interval):"
    for result in record.metrics.values():
        yield f"  {heading(result):<28} {format_value(result)}"
        if result.unavailable:
            yield f"    unavailable: {shown(result.unavailable)}"
        if result.note:
            yield f"    {shown(result.note)}"
        if result.decode_seeds is not None:
            yield f"    {_spread(result)}"
        if result.value is not None:
            yield f"    {shown(result.signature)}"
    if record.not_applicable:
        yield f"  Not applicable to this model: {', '.join(record.not_applicable)}"


def _spread(result: MetricResult) -> str:
    assert result.decode_seeds is not None
    spread, digits = result.decode_seeds, result.digits + 1
    text = f"{len(spread.values)} decode seeds: {spread.mean:.{digits}f} ± {spread.std:.{digits}f}"
    if spread.image_variance is not None:
        text += f", variance per image {spread.image_variance:.3g}"
    return text


def _missing(record: RunRecord) -> Iterator[str]:
    done = record.completeness
    yield from map(shown, record.data.notes)
    if done.missing:
        plural = "s" if done.missing > 1 else ""
        yield f"The data set lacks {done.missing:,} sample{plural} of the suite."
    if done.upscaled:
        yield f"{done.upscaled:,} images were smaller than the suite's size and were enlarged."
    for group in done.duplicates:
        yield shown(f"Same content: {', '.join(group)}")
    yield from left_out(record)


def left_out(record: RunRecord) -> Iterator[str]:
    """Return one line per failed sample. A long list is cut, and the rest is counted."""
    failed = record.completeness.failed
    for failure in failed[:_MOST_LINES]:
        yield shown(f"Failed ({failure.stage}): {failure.key}: {failure.reason}")
    if len(failed) > _MOST_LINES:
        yield f"Failed: {len(failed) - _MOST_LINES:,} more. record.json lists all."


def _machine(record: RunRecord) -> Iterator[str]:
    time, origin = record.timing, record.provenance
    yield (
        f"Time: {time.total_seconds:.1f} s (load {time.load_seconds:.1f},"
        f" encode {time.encode_seconds:.1f}, decode {time.decode_seconds:.1f},"
        f" metrics {time.metrics_seconds:.1f}), up to {time.batch_size} images per batch"
    )
    if time.decode_seconds_per_image is not None:
        encode = time.encode_seconds_per_image
        before = "" if encode is None else f"encode {encode:.3g} s, "
        yield f"Per image: {before}decode {time.decode_seconds_per_image:.3g} s"
    yield from speed(record)
    flops = [
        f"{name} {count / 1e9:,.1f} GFLOPs"
        for name, count in (
            ("encode", time.encode_flops_per_image), ("decode", time.decode_flops_per_image)
        )
        if count is not None
    ]  # fmt: skip
    if flops:
        yield f"Operations per image: {', '.join(flops)}"
    commit = origin.git_commit[:12] if origin.git_commit else "no checkout"
    dirty = ", with uncommitted changes" if origin.git_dirty else ""
    threads = f"{origin.threads} thread{'' if origin.threads == 1 else 's'}"
    yield f"Machine: {origin.device_name} ({origin.device}, {record.model.dtype}, {threads})"
    if record.model.environment:
        versions = (f"{name} {found}" for name, found in record.model.environment.items())
        yield f"The model's own environment: {', '.join(versions)}"
    yield f"Code: layton-bench {origin.packages.get('layton-bench', '?')}, {commit}{dirty}"


def speed(record: RunRecord) -> Iterator[str]:
    """Return a generator's speed in words; nothing for other models."""
    found = record.throughput
    if found is None:
        return
    if found.seconds_p50 is None:
        yield f"Speed: not measured: {shown(found.unavailable or '')}"
        return
    yield (
        f"Batch 1: {found.seconds_p50:.3g} s per image (p90 {found.seconds_p90:.3g},"
        f" p99 {found.seconds_p99:.3g}, {found.num_calls} calls)"
    )
    if found.stage_seconds:
        stages = (f"{name} {seconds:.3g} s" for name, seconds in found.stage_seconds.items())
        yield f"  including {', '.join(stages)}"
    yield (
        f"Fastest: {found.best_images_per_second:.3g} images/s at batch {found.best_batch_size}"
        f" (tried {', '.join(map(str, found.images_per_second))})"
    )
    memory = [("host", found.peak_host_mib), ("device", found.peak_device_mib)]
    held = ", ".join(f"{mib:,.0f} MiB {where}" for where, mib in memory if mib is not None)
    yield f"Peak memory: {held}"
    if found.nfe is not None:
        yield f"NFE: {found.nfe}"


def extremes(record: RunRecord, samples: pd.DataFrame, *, count: int = 4) -> pd.DataFrame:
    """Return the worst and best samples by the first ranked metric.

    The run keeps the pictures of these samples. Ties are ordered by key. A sample at both ends is
    among the worst.

    Returns:
        Columns rank, key, and the metrics.
    """
    import pandas as pd

    name = next(
        (n for n, r in record.metrics.items() if n in samples and r.direction != "none"), None
    )
    if name is None:
        return pd.DataFrame()
    direction = record.metrics[name].direction
    # JSON and digests are for programs, not for a table
    unread = ["failure", REFERENCE_DIGEST, CANDIDATE_DIGEST]
    unread += [c for c in map(str, samples) if c.endswith(_JSON_COLUMNS)]
    unread += map(influence_column, record.metrics)
    scored = samples[samples[name].notna()].drop(columns=unread, errors="ignore")
    rank = scored[name].map(lambda value: badness(value, direction))
    best_first = scored.assign(rank=rank).sort_values(["rank", "key"])
    worst = scored.assign(rank=-rank).sort_values(["rank", "key"])[:count]
    best = best_first[~best_first["key"].isin(worst["key"])][:count]
    chosen = pd.concat([worst, best])
    chosen["rank"] = [
        *(f"worst {i + 1}" for i in range(len(worst))),
        *(f"best {i + 1}" for i in range(len(best))),
    ]
    return chosen[["rank", *scored.columns]].reset_index(drop=True)
