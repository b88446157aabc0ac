"""Times a registered model: encode and decode of a tokenizer, or a generator's pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from layton_bench import models
from layton_bench.datasets import canonical, open_photos
from layton_bench.errors import LaytonBenchError, UserError, guarded, reason_of
from layton_bench.images import decode_rgb, to_signed, to_tensor
from layton_bench.machine import is_out_of_memory, recover, reset_peak, resolve_device, torch_dtype
from layton_bench.models import ModelSpec, Tokenizer
from layton_bench.registry import find_model, load_model, parse_options
from layton_bench.run.speed.timing import (
    Effort,
    Ratio,
    Speed,
    best_batch_size,
    flops_of,
    matmul_rate,
    measure,
    measure_in_turn,
    summarise,
)
from layton_bench.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.registry import Plugins

DEFAULT_SIZE_PX = 256
Calls = Mapping[str, Callable[[], object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedModel:
    """A loaded model ready to be called on batches of any size."""

    spec: ModelSpec
    model: Tokenizer | models.Generator
    size_px: int
    device: str
    dtype: str
    tokens: int | None

    def parameters(self, phase: str) -> int | None:
        """Of the part that runs in a phase, by the card."""
        card = self.spec.card
        return card.encoder_params if phase == "encode" else card.decoder_params

    def calls(self, batch_size: int) -> Calls:
        """Phase → one call of it on a batch of photographs or prompts."""
        if isinstance(self.model, Tokenizer):
            images = to_signed(photographs(batch_size, self.size_px).to(self.device))
            codes = self.model.encode(images)
            seeds = list(range(batch_size))
            return {
                "encode": partial(self.model.encode, images),
                "decode": partial(self.model.decode, codes, seeds),
            }
        prompts = [_prompt(self.spec, number) for number in range(batch_size)]
        return {"generate": partial(self.model.generate, prompts, list(range(batch_size)))}


def load(
    plugins: Plugins,
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    size_px: int | None = None,
    settings: Sequence[str] = (),
) -> TimedModel:
    """Load a model to be timed; raises UserError for an unknown one or an unfit size."""
    spec = find_model(plugins, name)
    asked = size_px if size_px or spec.card.sizes_px else DEFAULT_SIZE_PX
    chosen = spec.card.side_px(asked)
    where = resolve_device(device)
    torch_dtype(dtype)
    model = load_model(plugins, spec, where, dtype, parse_options(spec, settings))
    return TimedModel(
        spec=spec, model=model, size_px=chosen, device=where, dtype=dtype,
        tokens=spec.card.num_tokens,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTimed:
    """A batch size that could not be timed (None: none could be found), and why."""

    batch_size: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What was measured.

    Attributes:
        speeds: model → speed of every phase at every batch size.
        not_timed: model → batch sizes that failed; the others are whole all the same.
        ratios: batch size → phase → duration of the first model / of the second, in turn (above 1:
            the second is faster); of two models, at the sizes that both could do.
    """

    speeds: dict[str, list[Speed]]
    not_timed: dict[str, list[NotTimed]]
    ratios: dict[int, dict[str, Ratio]]


def time_models(
    models: Sequence[TimedModel], batch_sizes: Sequence[int | None], effort: Effort
) -> Timings:
    """Time one model, or two and their ratio.

    Args:
        models: one or two, loaded; two of one kind, on one device in one dtype.
        batch_sizes: images a call; None finds each model's best, and takes the smaller of both for
            the ratio.
        effort: of each measurement.

    Raises:
        UserError: one is a tokenizer and the other a generator, or nothing could be timed.
    """
    import torch

    if len({isinstance(timed.model, Tokenizer) for timed in models}) > 1:
        names = " and ".join(timed.spec.card.name for timed in models)
        raise UserError(names, "a tokenizer and a generator", "Time two of one kind.")
    found = Timings(speeds={}, not_timed={}, ratios={})
    chosen = []
    with torch.inference_mode():
        # one yardstick for both, which run on one device in one dtype
        rate = matmul_rate(models[0].device, models[0].dtype)
        for timed in models:
            name = timed.spec.card.name
            found.not_timed[name] = []
            chosen.append(_sizes(timed, batch_sizes, found.not_timed[name]))
            found.speeds[name] = _speeds(timed, chosen[-1], effort, rate, found.not_timed[name])
        _refuse_nothing(found)
        if len(models) == 2:
            first, second = models
            for size in _common_sizes(chosen[0], chosen[1], found):
                with _told(found.not_timed[second.spec.card.name], size):
                    found.ratios[size] = _ratios(first, second, size, effort)
    return found


def _common_sizes(
    first: Sequence[int | None], second: Sequence[int | None], found: Timings
) -> list[int]:
    """The smaller of both models' sizes, one for each asked for, without those that failed."""
    failed = {one.batch_size for each in found.not_timed.values() for one in each}
    pairs = zip(first, second, strict=True)
    sizes = dict.fromkeys(min(a, b) for a, b in pairs if a is not None and b is not None)
    return [size for size in sizes if size not in failed]


def _sizes(
    timed: TimedModel, asked: Sequence[int | None], failed: list[NotTimed]
) -> list[int | None]:
    """The sizes asked for, the best one in place of None; None stays where none fits."""
    sizes = list(asked)
    if None in sizes:
        with _told(failed, None):
            best = _best(timed)
            sizes = [size or best for size in sizes]
    return sizes


def _speeds(
    timed: TimedModel,
    sizes: Sequence[int | None],
    effort: Effort,
    rate: float,
    failed: list[NotTimed],
) -> list[Speed]:
    speeds: list[Speed] = []
    for size in dict.fromkeys(size for size in sizes if size is not None):
        with _told(failed, size):
            speeds += [
                _speed(timed, phase, call, size, rate, effort)
                for phase, call in timed.calls(size).items()
            ]
    return speeds


@contextmanager
def _told(failed: list[NotTimed], batch_size: int | None) -> Iterator[None]:
    """Note what a model raises, out of memory above all, and go on in good health."""
    try:
        with guarded():
            yield
    except UserError:
        raise
    except LaytonBenchError as error:
        reason = "out of memory" if is_out_of_memory(error) else reason_of(error)
        recover(error)
        failed.append(NotTimed(batch_size=batch_size, reason=reason))


def _refuse_nothing(found: Timings) -> None:
    if any(found.speeds.values()):
        return
    name, failed = next(iter(found.not_timed.items()))
    reason = failed[0].reason if failed else "no batch size was asked for"
    raise UserError(f"model '{name}'", f"it could not be timed: {reason}", "Check device and size.")


def _ratios(
    first: TimedModel, second: TimedModel, batch_size: int, effort: Effort
) -> dict[str, Ratio]:
    ours, theirs = first.calls(batch_size), second.calls(batch_size)
    return {
        phase: measure_in_turn(ours[phase], theirs[phase], first.device, effort) for phase in ours
    }


def photographs(count: int, size_px: int) -> Tensor:
    """Embedded photographs, cropped and repeated: uint8 (count, 3, size_px, size_px).

    Real pictures, since the time of codecs depends on what they show.
    """
    import torch

    photos = open_photos()
    items = photos.items()
    pictures = [
        to_tensor(canonical(decode_rgb(photos.read(items[i % len(items)])), size_px))
        for i in range(min(count, len(items)))
    ]
    return torch.stack([pictures[i % len(pictures)] for i in range(count)])


def _speed(
    timed: TimedModel,
    phase: str,
    call: Callable[[], object],
    batch_size: int,
    rate: float,
    effort: Effort,
) -> Speed:
    flops = flops_of(call, batch_size)
    reset_peak(timed.device)
    seconds = measure(call, timed.device, effort)
    return summarise(
        phase, seconds, batch_size=batch_size, tokens=timed.tokens,
        parameters=timed.parameters(phase), flops_per_image=flops, matmul_rate=rate,
        device=timed.device,
    )  # fmt: skip


def _best(timed: TimedModel) -> int:
    quick = Effort(min_repeats=2, min_seconds=0.2)

    def rate(size: int) -> float:
        phases = timed.calls(size).values()
        return size / sum(min(measure(call, timed.device, quick)) for call in phases)

    return best_batch_size(rate)[0]


def _prompt(spec: ModelSpec, number: int) -> Prompt:
    """Return a prompt that the generator can draw, by its card: a class or a short text."""
    if spec.card.prompted_by == "class":
        return Prompt(key=str(number), class_id=number % 1000)
    return Prompt(key=str(number), text=f"a photograph of a red apple, number {number}")
