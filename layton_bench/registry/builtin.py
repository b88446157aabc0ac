"""What layton-bench itself registers, through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable

from layton_bench.datasets import DATASETS, PROTOCOLS, DatasetSpec, Protocol
from layton_bench.hookspecs import hookimpl
from layton_bench.metrics import BACKBONES, METRICS, BackboneSpec, MetricPattern, MetricSpec
from layton_bench.models import ModelPattern, ModelSpec
from layton_bench.tasks import geneval, scenes
from layton_bench.weights import WEIGHTS, WeightsEntry


@hookimpl
def layton_bench_register_suites(register: Callable[[Traversable], None]) -> None:
    """Register every TOML file in ``suites/``."""
    folder = files("layton_bench") / "suites"
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.endswith(".toml"):
            register(path)


@hookimpl
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register the data sets of the built-in suites."""
    for spec in (*DATASETS, geneval.DATASET, *scenes.DATASETS):
        register(spec)


@hookimpl
def layton_bench_register_protocols(register: Callable[[Protocol], None]) -> None:
    """Register the preprocessing protocols."""
    for protocol in PROTOCOLS:
        register(protocol)


@hookimpl
def layton_bench_register_metrics(register: Callable[[MetricSpec | MetricPattern], None]) -> None:
    """Register the metrics of ``metrics/`` and of the tasks."""
    for spec in (*METRICS, *geneval.METRICS, *scenes.METRICS):
        register(spec)


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec | ModelPattern], None]) -> None:
    """Register the renderer of scenes: an upper bound for other generators."""
    for spec in scenes.MODELS:
        register(spec)


@hookimpl
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register the networks of the built-in metrics."""
    for entry in WEIGHTS:
        register(entry)


@hookimpl
def layton_bench_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Register the networks whose features metrics share."""
    for spec in BACKBONES:
        register(spec)
