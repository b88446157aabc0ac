"""Samples/s of a training step of phase 1, from a plain loop to what the recipes switch on.

    python benchmarks/bench_training.py [--recipes layton-tiny] [--batch N] [--rounds N]
    python benchmarks/bench_training.py --device cuda    # by the clock instead of CPU time

The plain loop is a step as one writes it first: pictures are encoded to codes and latents at every
step, AdamW goes parameter by parameter, everything is contiguous float32. Each row adds one thing;
the last one trades time for memory. All rows start from the same random weights, take turns step by
step in one process, and must agree in their first loss.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import layton
from layton.tokenizer.config import TokenizerConfig, UNetConfig, VAEConfig
from layton.tokenizer.model import Tokenizer
from layton.training.optim import make_optimizer
from layton.training.phases import recipe_kind
from layton.training.phases.alignment import AlignmentPhase, Recipe
from layton.training.recipe import read_toml, validate

_RECIPES = Path(layton.__file__).parent / "recipes"
_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # relative, of the first loss


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a step is taken."""

    label: str
    cached: bool = True
    fused: bool = True
    channels_last: bool = True
    dtype: torch.dtype = torch.float32
    checkpointing: bool = False


PLAIN = Way(label="plain loop", cached=False, fused=False, channels_last=False)
WAYS = (
    PLAIN,
    replace(PLAIN, label="+ codes and latents extracted once", cached=True),
    Way(label="+ fused AdamW", channels_last=False),
    Way(label="+ channels_last"),
    Way(label="+ bfloat16 autocast", dtype=torch.bfloat16),
    Way(label="bfloat16, contiguous", dtype=torch.bfloat16, channels_last=False),
    Way(label="+ checkpointing", dtype=torch.bfloat16, channels_last=False, checkpointing=True),
)


def read_recipe(name: str) -> tuple[Recipe, TokenizerConfig]:
    """The alignment recipe of a folder of recipes, and the sizes of all parts."""
    folder = _RECIPES / name
    path = min(folder.glob("*alignment.toml"))  # a later one goes on from its export
    tables = read_toml(path)
    recipe = validate(recipe_kind(tables, source=str(path)), tables, source=path)
    assert isinstance(recipe, Recipe)
    parts: dict[str, Any] = {}  # those that the chain trains itself
    for path in sorted(folder.glob("*.toml")):
        tables = read_toml(path)
        if tables["phase"] == "diffusion":
            parts["unet"] = UNetConfig(**tables["unet"])
        if tables["phase"] == "vae":
            parts["vae"] = VAEConfig(**tables["vae"])
    return recipe, replace(recipe.tokenizer, **parts)


def make_batch(phase: AlignmentPhase, batch_size: int, size_px: int, device: str) -> dict[str, Any]:
    """Random pictures with their codes and latents."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(batch_size, 3, size_px, size_px, generator=generator) * 2 - 1
    batch = {"seeds": torch.arange(batch_size), "images": images}
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    return batch | {"codes": phase._codes(batch["images"]), "latents": phase.latents(batch)}


def step_of(way: Way, phase: AlignmentPhase, recipe: Recipe, batch: dict[str, Any]) -> Any:
    """A function that takes one training step and returns its loss."""
    phase = copy.deepcopy(phase)
    if way.checkpointing:
        phase.tokenizer.decoder.enable_gradient_checkpointing()
    if way.channels_last:
        phase.to(memory_format=torch.channels_last)
    parameters = list(phase.trained_parameters())
    if way.fused:
        optimizer: torch.optim.Optimizer = make_optimizer(parameters, recipe.optimizer)
    else:
        optimizer = torch.optim.AdamW(parameters, lr=recipe.optimizer.lr, foreach=False)
    seen = {k: v for k, v in batch.items() if way.cached or k not in ("codes", "latents")}
    if way.cached:
        del seen["images"]
    elif way.channels_last:
        seen["images"] = seen["images"].contiguous(memory_format=torch.channels_last)
    device = batch["seeds"].device.type

    def step() -> Tensor:
        with torch.autocast(device, way.dtype, enabled=way.dtype != torch.float32):
            loss = phase(seen, 0).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def seconds(call: Callable[[], Tensor], device: str) -> float:
    """CPU time of one call, which is what it takes on an idle machine; on a GPU by the clock."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def kept_mib(step: Callable[[], Tensor]) -> float:
    """MiB that autograd keeps of one step, weights left out as far as they are parameters."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        if not (tensor.is_leaf and tensor.requires_grad):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(kept.values()) / (1 << 20)


def main() -> None:
    """Parse, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", default="layton-tiny", help="folder of layton/recipes")
    parser.add_argument("--batch", type=int, help="the recipe's own if absent")
    parser.add_argument("--size-px", type=int, help="the recipe's last stage's if absent")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    recipe, config = read_recipe(options.recipes)
    stage = recipe.stages[-1]
    batch_size, size_px = options.batch or stage.batch_size, options.size_px or stage.size_px
    torch.manual_seed(0)
    phase = AlignmentPhase(recipe.model_copy(update={"gradient_checkpointing": False}),
                           Tokenizer(config).to(options.device)).train()  # fmt: skip
    batch = make_batch(phase, batch_size, size_px, options.device)
    steps = {way.label: step_of(way, phase, recipe, batch) for way in WAYS}

    first: dict[str, float] = {}
    memory = {way.label: 0.0 for way in WAYS}
    for way in WAYS:  # warm-up
        first[way.label] = float(steps[way.label]())
        memory[way.label] = kept_mib(steps[way.label])
        off = abs(first[way.label] / first[PLAIN.label] - 1)
        assert off < _CLOSE[way.dtype], f"{way.label}: loss is off by {off:.1e}"

    times: dict[str, list[float]] = {way.label: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            times[way.label].append(seconds(steps[way.label], options.device))
    print(f"{options.recipes}, batch {batch_size}, {size_px} px, {options.device}")
    print(f"{'':<36}{'samples/s':>10}{'ratio':>8}{'kept by autograd':>20}")
    for label, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(times[PLAIN.label], taken, strict=True))
        rate = batch_size / statistics.median(taken)
        print(f"{label:<36}{rate:>10.2f}{ratio:>8.2f}{memory[label]:>16.0f} MiB")


if __name__ == "__main__":
    main()
