"""Declarations of children, and runs with them."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from lab import Bench, Lab, Outcome
from PIL import Image
from places import SUPPORT

from layton_bench.models.base import LoadContext, ModelSpec, Tokenizer
from layton_bench.records.folder import read_samples
from layton_bench.records.record import RunRecord
from layton_bench.records.results import stored_runs
from layton_bench.registry.declared import external_model

CHILDREN = SUPPORT / "external_children"
PLUGINS = [
    word
    for name in ("lab_plugin.py", "external_twins.py")
    for word in ("--plugin", str(SUPPORT / name))
]


def declare(
    folder: Path, name: str, *command: object, kind: str = "tokenizer", more: str = ""
) -> Path:
    """A declaration of a model whose command runs in ``folder``."""
    path = folder / f"{name}.toml"
    words = [str(word) for word in command]
    size = "sizes_px = [8]" if kind == "generator" else ""
    path.write_text(
        f"command = {json.dumps(words)}\n{more}\n"
        f'[card]\nname = "{name}"\nkind = "{kind}"\nfamily = "tests"\nsummary = "a child"\n{size}\n'
    )
    return path


def limits(start: float = 120, silence: float = 60, batch: float = 120) -> str:
    values = f"start_seconds={start}, silence_seconds={silence}, batch_seconds={batch}"
    return f"limits = {{{values}}}"


def spec_of(path: Path) -> ModelSpec:
    specs: list[ModelSpec] = []
    external_model(path).layton_bench_register_models(specs.append)
    return specs[0]


def load(path: Path) -> Tokenizer:
    spec = spec_of(path)
    context = LoadContext(device="cpu", dtype="float32", weights=Path, options=spec.options)
    return spec.load(context)


def raw(folder: Path, fault: str, *more: object, **options: str) -> Tokenizer:
    """The child that speaks the protocol by itself, with a fault."""
    script = CHILDREN / "raw.py"
    path = declare(folder, "raw", sys.executable, script, "raw", fault, folder, *more, **options)
    return load(path)


def whiten(path: Path) -> None:
    """A picture on which ``raw.py`` goes wrong."""
    Image.new("RGB", (64, 64), "white").save(path)


BRIGHT, DARK = torch.ones(1, 3, 8, 8), -torch.ones(1, 3, 8, 8)


def run(lab: Lab, declared: Path, *models: str, more: str = "") -> Outcome:
    words = [word for model in models for word in ("--model", model)]
    return lab.bench(
        "--plugin", declared, *PLUGINS, "run", "--suite", "lab-64", "--device", "cpu",
        "--data-root", lab.bench.data, "--out", lab.bench.results, *words, *more.split(),
    )  # fmt: skip


def table(bench: Bench, model: str) -> pd.DataFrame:
    (found,) = (r for r in stored_runs(bench.results) if r.record.model.name == model)
    return read_samples(found.folder, found.record).set_index("key")


def metrics(record: RunRecord) -> dict[str, object]:
    return {name: result.model_dump() for name, result in record.metrics.items()}


def until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
