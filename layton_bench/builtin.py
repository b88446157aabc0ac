"""What the harness itself registers, through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable

from layton_bench.datasets import catalogue
from layton_bench.datasets.base import DatasetSpec
from layton_bench.hookspecs import hookimpl
from layton_bench.metrics import codes, pixel, published, rate
from layton_bench.metrics.base import MetricPattern, MetricSpec
from layton_bench.preprocess import PROTOCOLS, Protocol


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
    for spec in catalogue.SPECS:
        register(spec)


@hookimpl
def layton_bench_register_protocols(register: Callable[[Protocol], None]) -> None:
    """The preprocessing protocols."""
    for protocol in PROTOCOLS:
        register(protocol)


@hookimpl
def layton_bench_register_metrics(register: Callable[[MetricSpec | MetricPattern], None]) -> None:
    """Every metric of ``metrics/``."""
    for module in (pixel, published, rate, codes):
        for spec in module.SPECS:
            register(spec)
