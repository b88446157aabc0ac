"""The size of a training run, without weights or memory: everything is on the meta device.

Activations are counted, not guessed. One forward pass runs on tensors without storage, and the
tensors that autograd keeps for the backward pass are added up. A discriminator's activations are
not counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import nn

    from layton.training.phases.base import Phase, PhaseRecipe
    from layton.training.recipe import Stage

__all__ = ["Estimate", "describe", "estimate"]

_GIB = 1 << 30
_MOMENTS = 2  # of AdamW
_LATE = 1 << 30  # a step at which every loss counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Sizes of one training process.

    Attributes:
        parameters: of each part of the phase, by name.
        trained: those that the optimiser changes.
        weight_bytes: all weights, gradients, moments and averages.
        activation_bytes: tensors that autograd keeps in the most expensive stage.
        stage: number of that stage, from 1.
    """

    parameters: dict[str, int]
    trained: dict[str, int]
    weight_bytes: int
    activation_bytes: int
    stage: int


def estimate(recipe: PhaseRecipe) -> Estimate:
    """Build the phase on the meta device and count."""
    with torch.device("meta"):
        phase = recipe.build(for_sizes=True)
    parameters, trained = Counter[str](), Counter[str]()
    for name, parameter in _all_parameters(phase):
        part = _part(name)
        parameters[part] += parameter.numel()
        trained[part] += parameter.numel() * parameter.requires_grad
    moved = sum(trained.values())
    copies = 1 + _MOMENTS + (recipe.ema_decay is not None)  # beside the weight: gradient, moments
    activations = [_activation_bytes(phase, recipe, stage) for stage in recipe.stages]
    return Estimate(
        parameters=dict(parameters),
        trained=dict(trained),
        weight_bytes=4 * (sum(parameters.values()) + copies * moved),
        activation_bytes=max(activations),
        stage=activations.index(max(activations)) + 1,
    )


def describe(recipe: PhaseRecipe) -> str:
    """Return the estimate as text."""
    found = estimate(recipe)
    lines = [f"{'part':<24}{'parameters':>16}{'trained':>16}"]
    for part, count in found.parameters.items():
        lines.append(f"{part:<24}{count:>16,}{found.trained[part]:>16,}")
    total, moved = sum(found.parameters.values()), sum(found.trained.values())
    lines.append(f"{'in all':<24}{total:>16,}{moved:>16,}")
    micro = recipe.stages[found.stage - 1].batch_size // recipe.accumulate
    lines += [
        "",
        f"weights, gradients, optimiser, average   {found.weight_bytes / _GIB:8.2f} GiB",
        f"{f'activations, stage {found.stage}, batch of {micro}':<41}"
        f"{found.activation_bytes / _GIB:8.2f} GiB",
        "For one process without sharding. Not counted: kernels' workspaces, the data, and the"
        " activations that one block recomputes with gradient_checkpointing.",
    ]
    return "\n".join(lines)


def _all_parameters(phase: Phase) -> Iterator[tuple[str, nn.Parameter]]:
    yield from phase.named_parameters()
    if phase.adversary is not None:
        yield from ((f"adversary.{name}", p) for name, p in phase.adversary.named_parameters())


def _part(name: str) -> str:
    """Return the part of the model that a parameter belongs to."""
    names = name.split(".")
    wrapper = names.pop(0) if names[0] in ("tokenizer", "model") else ""
    depth = 2 if (wrapper, names[0]) == ("tokenizer", "decoder") else 1
    return ".".join(names[:depth])


class _Attention(torch.autograd.Function):
    """Attention for counting memory: q, k, v, the result and one number per row are kept."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, out.new_empty(query.shape[:-1]))
        return out


class _Fused(TorchFunctionMode):
    """Count fused attention; on meta tensors the whole matrix of weights would count."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            inputs = [*args, *(named[n] for n in ("query", "key", "value") if n in named)]
            return _Attention.apply(*inputs[:3])
        return func(*args, **named)


def _activation_bytes(phase: Phase, recipe: PhaseRecipe, stage: Stage) -> int:
    weights = {p.untyped_storage()._cdata for p in phase.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        alive.append(tensor)  # or its storage's address might be used again
        return tensor

    alive: list[Tensor] = []
    batch = phase.meta_batch(stage.batch_size // recipe.accumulate, stage.size_px)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.device("meta"), hooks, _Fused():
        phase.eval()(batch, _LATE)
    # autocast ignores meta tensors; on a device it halves most of them
    return sum(kept.values()) // (1 if recipe.mixed_precision == "no" else 2)
