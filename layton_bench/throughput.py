"""Times a registered model: encode and decode of a tokenizer, or a generator's pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from layton_bench import models
from layton_bench.datasets.embedded import open_photos
from layton_bench.devices import resolve_device, torch_dtype
from layton_bench.errors import UserError
from layton_bench.images import decode_rgb, to_signed, to_tensor
from layton_bench.models import ModelSpec, Tokenizer
from layton_bench.preprocess import canonical
from layton_bench.resolve import find_model, parse_options
from layton_bench.run import load_model
from layton_bench.timing import (
    Effort,
    Ratio,
    Speed,
    best_batch_size,
    flops_of,
    matmul_rate,
    measure,
    measure_in_turn,
    reset_peak,
    summarise,
)
from layton_bench.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.plugin_manager import Plugins

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
    sizes = spec.card.sizes_px
    chosen = size_px or (sizes[0] if sizes else DEFAULT_SIZE_PX)
    if sizes and chosen not in sizes:
        listed = ", ".join(map(str, sizes))
        raise UserError(f"--resolution {chosen}", f"{name} is for {listed} px", "Use one of them.")
    where = resolve_device(device)
    torch_dtype(dtype)
    model = load_model(plugins, spec, where, dtype, parse_options(spec, settings))
    return TimedModel(
        spec=spec, model=model, size_px=chosen, device=where, dtype=dtype,
        tokens=spec.card.num_tokens,
    )  # fmt: skip


def time_model(timed: TimedModel, batch_sizes: Sequence[int | None], effort: Effort) -> list[Speed]:
    """Speeds of every phase at every batch size; None finds the best one.

    Raises:
        The model's own error; an out-of-memory one only where batch size 1 does not fit.
    """
    import torch

    rate = matmul_rate(timed.device, timed.dtype)
    with torch.inference_mode():
        sizes = [size or _best(timed) for size in batch_sizes]
        return [
            _speed(timed, phase, call, size, rate, effort)
            for size in dict.fromkeys(sizes)
            for phase, call in timed.calls(size).items()
        ]


def compare_speeds(
    first: TimedModel, second: TimedModel, batch_size: int, effort: Effort
) -> dict[str, Ratio]:
    """Phase → duration of ``first`` / duration of ``second``, in turn (above 1: second is faster).

    Raises:
        UserError: one is a tokenizer and the other a generator.
    """
    import torch

    with torch.inference_mode():
        ours, theirs = first.calls(batch_size), second.calls(batch_size)
        if ours.keys() != theirs.keys():
            names = f"{first.spec.card.name} and {second.spec.card.name}"
            raise UserError(names, "a tokenizer and a generator", "Time two of one kind.")
        return {
            phase: measure_in_turn(ours[phase], theirs[phase], first.device, effort)
            for phase in ours
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
        phase, seconds, batch_size=batch_size, tokens=timed.tokens, flops_per_image=flops,
        matmul_rate=rate, device=timed.device,
    )  # fmt: skip


def _best(timed: TimedModel) -> int:
    quick = Effort(min_repeats=2, min_seconds=0.2)

    def rate(size: int) -> float:
        phases = timed.calls(size).values()
        return size / sum(min(measure(call, timed.device, quick)) for call in phases)

    return best_batch_size(rate)[0]


def _prompt(spec: ModelSpec, number: int) -> Prompt:
    """A prompt that any generator understands: its class, or a short text."""
    if "c2i" in spec.card.name:
        return Prompt(key=str(number), class_id=number % 1000)
    return Prompt(key=str(number), text=f"a photograph of a red apple, number {number}")
