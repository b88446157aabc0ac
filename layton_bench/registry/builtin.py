"""What the harness itself registers, through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable

from layton_bench.datasets import catalogue
from layton_bench.datasets.base import DatasetSpec
from layton_bench.datasets.protocols import PROTOCOLS, Protocol
from layton_bench.hookspecs import hookimpl
from layton_bench.metrics import codes, prompt, rate
from layton_bench.metrics.backbones import BackboneSpec, clip, dinov2, inception
from layton_bench.metrics.base import MetricPattern, MetricSpec
from layton_bench.metrics.pairs import (
    faces,
    legibility,
    perceptual,
    pixel,
    published,
)
from layton_bench.metrics.pairs import (
    pyiqa as pyiqa_metrics,
)
from layton_bench.metrics.sets import frechet, inception_score, kernel, manifold
from layton_bench.models.base import ModelPattern, ModelSpec
from layton_bench.tasks.geneval import metrics as geneval_metrics
from layton_bench.tasks.geneval import prompts as geneval
from layton_bench.tasks.scenes import generators, metrics, prompt_set
from layton_bench.weights import catalogue as weights_table
from layton_bench.weights.store import WeightsEntry

_METRICS = (
    pixel, published, perceptual, pyiqa_metrics, frechet, kernel, inception_score, manifold,
    legibility, faces, prompt,
    rate, codes, geneval_metrics, metrics,
)  # fmt: skip


@hookimpl
def layton_bench_register_suites(register: Callable[[Traversable], None]) -> None:
    """Every TOML file in ``suites/``."""
    folder = files("layton_bench") / "suites"
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.endswith(".toml"):
            register(path)


@hookimpl
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """The data sets of the built-in suites."""
    for spec in (*catalogue.SPECS, geneval.SPEC, *prompt_set.SPECS):
        register(spec)


@hookimpl
def layton_bench_register_protocols(register: Callable[[Protocol], None]) -> None:
    """The preprocessing protocols."""
    for protocol in PROTOCOLS:
        register(protocol)


@hookimpl
def layton_bench_register_metrics(register: Callable[[MetricSpec | MetricPattern], None]) -> None:
    """Every metric of ``metrics/``, and the scenes' own."""
    for module in _METRICS:
        for spec in module.SPECS:
            register(spec)


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec | ModelPattern], None]) -> None:
    """The scenes' renderer, by which other generators are measured."""
    for spec in generators.SPECS:
        register(spec)


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """The networks of the harness's own metrics."""
    for entry in (*weights_table.ENTRIES, *geneval_metrics.WEIGHTS):
        register(entry)


@hookimpl
def layton_bench_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """The networks whose features metrics share."""
    for module in (inception, dinov2, clip):
        for spec in module.SPECS:
            register(spec)
