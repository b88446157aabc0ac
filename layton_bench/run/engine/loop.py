"""The streaming loop: encode → decode → round → score → drop.

Nothing of a batch outlives it but each metric's own state, one row a sample and a few kept images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from layton_bench.errors import ModelOutputError, UserError
from layton_bench.machine import Clock, deferred_interrupt, is_out_of_memory, recover
from layton_bench.types import Failure, FailureStage, ImageBatch, ScoredBatch

if TYPE_CHECKING:
    from layton_bench.metrics import Metric
    from layton_bench.run.engine.gallery import Gallery

_log = logging.getLogger(__name__)

# A model that has failed on this many samples and succeeded on none is stopped.
_HOPELESS_AFTER = 8


@dataclass(slots=True)
class Evaluation:
    """What a pass over the data leaves behind.

    Attributes:
        keys: samples in the numbers, in data-set order.
        failures: samples that fell out.
        bits: sample key → bits of its codes; empty without codes.
        num_tokens: codes an image, where the model has codes.
        upscaled: images that the protocol enlarged.
        interrupted: whether Ctrl-C ended the pass early.
        batch_size: images in the largest batch that fitted.
        largest_fitting: images a batch after memory ran out; None while it has not.
        broken: metric name → why it fell out; it has seen only part of the samples.
    """

    keys: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    bits: dict[str, float] = field(default_factory=dict)
    num_tokens: int | None = None
    upscaled: int = 0
    interrupted: bool = False
    batch_size: int = 0
    largest_fitting: int | None = None
    broken: dict[str, str] = field(default_factory=dict)


Candidates = Callable[[ImageBatch], ScoredBatch]


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
    """Score every batch with every metric; memory does not grow with the number of samples.

    Args:
        batches: preprocessed images, failures riding along.
        candidates: batch → what the metrics see (``Reconstruct``, ``Draw``).
        metrics: accumulators by name; they hold the values afterwards.
        clock: takes the time of each phase.
        gallery: keeps the worst and best samples.
        strict: raise at the first sample that fails.
        on_progress: told the number of samples dealt with after each batch.

    Raises:
        UserError: in strict mode, or when the model fails on the first samples one and all.
        KeyboardInterrupt: at the second Ctrl-C; the first one ends the pass after this batch.
    """
    done = Evaluation()
    with deferred_interrupt() as interrupted:
        for batch in _timed(batches, clock):
            _note_failures(done, batch.failures, strict=strict)
            for scored in _split_on_failure(candidates, batch, done, clock, strict=strict):
                with clock.phase("metrics"):
                    _update(metrics, scored, done, strict=strict)
                    gallery.offer(scored, metrics)
                _note_scored(done, scored)
            done.upscaled += len(batch.upscaled)
            on_progress(len(batch.items) + len(batch.failures))
            if interrupted():
                done.interrupted = True
                break
    return done


def _timed(batches: Iterable[ImageBatch], clock: Clock) -> Iterator[ImageBatch]:
    """The batches, with the waiting for each counted as loading."""
    stream = iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(stream, None)
        clock.seconds["load"] += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def _split_on_failure(
    candidates: Candidates, batch: ImageBatch, done: Evaluation, clock: Clock, *, strict: bool
) -> Iterator[ScoredBatch]:
    """Candidates of the batch; on failure its halves apart, down to the samples at fault."""
    pending = _parts(batch, done.largest_fitting) if batch.items else []
    while pending:
        part = pending.pop()
        try:
            scored = candidates(part)
        except UserError:
            raise
        except Exception as error:  # a plugin may raise anything; name the sample and go on
            if len(part.items) > 1:
                half = len(part.items) // 2
                if is_out_of_memory(error):
                    recover(error)
                    done.largest_fitting = half
                pending += _parts(part, half)
                continue
            failure = Failure(key=part.keys[0], stage=_stage(clock), reason=_describe(error))
            _note_failures(done, (failure,), strict=strict)
            _stop_if_hopeless(done)
        else:
            done.batch_size = max(done.batch_size, len(part.items))
            yield scored


def _update(
    metrics: Mapping[str, Metric], scored: ScoredBatch, done: Evaluation, *, strict: bool
) -> None:
    """Every metric takes the batch; one that raises falls out and the rest go on."""
    for name, metric in metrics.items():
        if name in done.broken:
            continue
        try:
            metric.update(scored)
        except Exception as error:  # a plugin's metric may raise anything
            if strict:
                raise UserError(
                    f"metric '{name}'",
                    f"it failed on the batch from '{scored.keys[0]}' ({_describe(error)})",
                    "Mend it, or leave it out with --metric.",
                ) from error
            done.broken[name] = f"failed at '{scored.keys[0]}': {_describe(error)}"
            _log.warning("metric '%s' %s", name, done.broken[name])


def _parts(batch: ImageBatch, size: int | None) -> list[ImageBatch]:
    """Parts of at most ``size`` samples (None: all in one), last one first, for a stack."""
    size = size or len(batch.items)
    starts = range(0, len(batch.items), size)
    return [_slice(batch, start, start + size) for start in reversed(starts)]


def _slice(batch: ImageBatch, start: int, stop: int) -> ImageBatch:
    return replace(
        batch, items=batch.items[start:stop], images=batch.images[start:stop], failures=()
    )


def _stage(clock: Clock) -> FailureStage:
    """Where in the model: a batch that failed before its first phase failed on its way there."""
    return clock.latest if clock.latest in ("encode", "decode", "generate") else "encode"


def _describe(error: Exception) -> str:
    if isinstance(error, ModelOutputError):
        return error.reason
    return f"{type(error).__name__}: {error}"


def _note_failures(done: Evaluation, failures: Sequence[Failure], *, strict: bool) -> None:
    done.failures += failures
    if strict and failures:
        first = failures[0]
        raise UserError(
            f"sample '{first.key}'",
            f"{first.reason} (stage: {first.stage})",
            "Mend it, or run without --strict to leave it out.",
        )


def _stop_if_hopeless(done: Evaluation) -> None:
    at_fault = [f for f in done.failures if f.stage != "read"]
    if not done.keys and len(at_fault) >= _HOPELESS_AFTER:
        raise UserError(
            "the model",
            f"it failed on each of the first {len(at_fault)} samples"
            f" ('{at_fault[0].key}': {at_fault[0].reason})",
            "Check its device, dtype and image size.",
        )


def _note_scored(done: Evaluation, scored: ScoredBatch) -> None:
    done.keys += scored.keys
    if scored.codes is not None:
        done.bits.update(zip(scored.keys, scored.codes.bits(), strict=True))
        if scored.codes.codes is not None:
            done.num_tokens = scored.codes.codes.shape[1]
