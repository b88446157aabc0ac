"""The loop over batches: make candidates, score them with every metric, forget the batch.

Memory does not grow with the number of images: what stays of a batch is the state of the metrics,
one row per sample and a few kept images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from layton_bench.errors import LaytonBenchError, ModelOutputError, UserError, guarded
from layton_bench.machine import Clock, deferred_interrupt
from layton_bench.metrics import Fails
from layton_bench.run.engine.candidates import Candidates
from layton_bench.run.engine.halving import Halving
from layton_bench.types import Failure, FailureStage, ImageBatch, ScoredBatch

if TYPE_CHECKING:
    from layton_bench.metrics import Metric
    from layton_bench.run.engine.gallery import Gallery

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Evaluation:
    """The result of a pass over the data.

    Attributes:
        keys: samples that every metric has seen, in data-set order.
        failures: samples that failed.
        bits: sample key → bits of its codes; empty without codes.
        num_tokens: codes per image, if the model has codes.
        upscaled: number of images that the protocol enlarged.
        interrupted: whether Ctrl-C ended the pass early.
        batch_size: images in the largest batch that fitted.
        broken: metric → why it failed; it has not seen every sample.
        seconds: wall time of the pass.
    """

    keys: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    bits: dict[str, float] = field(default_factory=dict)
    num_tokens: int | None = None
    upscaled: int = 0
    interrupted: bool = False
    batch_size: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)


def evaluate(
    batches: Iterable[ImageBatch],
    candidates: Candidates,
    metrics: Mapping[str, Metric],
    *,
    clock: Clock,
    gallery: Gallery,
    strict: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Score every batch with every metric.

    Args:
        batches: preprocessed images, with the failures among them.
        candidates: returns what the metrics see of a batch.
        metrics: accumulators by name; they hold the values afterwards.
        clock: takes the time of each phase.
        gallery: keeps the worst and best samples.
        strict: raise at the first sample that fails.
        on_progress: called after each batch with its number of samples.

    Raises:
        UserError: a sample failed in strict mode; the model failed on each of the first samples.
        CtrlC: at the second Ctrl-C; the first one ends the pass after this batch.
    """
    done, begin = Evaluation(), time.perf_counter()
    halving = Halving(partial(_stage, clock))
    with deferred_interrupt() as interrupted:
        for batch in _timed(batches, clock):
            _note_failures(done, batch.failures, strict=strict)
            for scored in halving(batch.keys, lambda part: candidates(_part(batch, part))):  # noqa: B023
                if isinstance(scored, Failure):
                    _note_failures(done, (scored,), strict=strict)
                    continue
                with clock.phase("metrics"):
                    _update(metrics, scored, done, strict=strict)
                    gallery.offer(scored, metrics)
                _note_scored(done, scored)
            done.upscaled += len(batch.upscaled)
            on_progress(len(batch.items) + len(batch.failures))
            if interrupted():
                done.interrupted = True
                break
    done.batch_size = halving.largest_done
    done.seconds = time.perf_counter() - begin
    return done


def _timed(batches: Iterable[ImageBatch], clock: Clock) -> Iterator[ImageBatch]:
    """Yield the batches, and count the waiting for each as loading."""
    stream = iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(stream, None)
        clock.seconds["load"] += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def _part(batch: ImageBatch, part: slice) -> ImageBatch:
    return replace(batch, items=batch.items[part], images=batch.images[part], failures=())


def _stage(clock: Clock) -> FailureStage:
    """Return where in the model a batch failed: in its latest phase, or before its first one."""
    return clock.latest if clock.latest in ("encode", "decode", "generate") else "encode"


def _update(
    metrics: Mapping[str, Metric], scored: ScoredBatch, done: Evaluation, *, strict: bool
) -> None:
    """Update every metric; one that fails is left out, and the others continue."""
    for name, metric in metrics.items():
        if name in done.broken:
            continue
        try:
            with guarded():
                metric.update(scored)
            if strict:
                _raise_failure(metric, scored)
        except LaytonBenchError as error:
            if strict:
                raise UserError(
                    f"metric '{name}'",
                    f"it failed on the batch from '{scored.keys[0]}' ({error})",
                    "Fix it, or choose other metrics with --metric.",
                ) from error
            done.broken[name] = f"failed at '{scored.keys[0]}': {error}"
            _log.warning("metric '%s' %s", name, done.broken[name])


def _raise_failure(metric: Metric, scored: ScoredBatch) -> None:
    """Raise why a metric has no value for one of these samples."""
    failures = metric.failures if isinstance(metric, Fails) else {}
    for key in scored.keys:
        if key in failures:
            raise ModelOutputError(f"'{key}': {failures[key]}")


def _note_failures(done: Evaluation, failures: Sequence[Failure], *, strict: bool) -> None:
    done.failures += failures
    if strict and failures:
        first = failures[0]
        raise UserError(
            f"sample '{first.key}'",
            f"{first.reason} (stage: {first.stage})",
            "Fix it, or run without --strict to leave it out.",
        )


def _note_scored(done: Evaluation, scored: ScoredBatch) -> None:
    done.keys += scored.keys
    if scored.codes is not None:
        done.bits.update(zip(scored.keys, scored.codes.bits(), strict=True))
        if scored.codes.codes is not None:
            done.num_tokens = scored.codes.codes.shape[1]
