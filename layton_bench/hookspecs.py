"""All hooks that a plugin can implement. There is no other way to extend layton-bench.

A plugin is a module. Its distribution names it in the entry-point group ``layton_bench``, or the
user names it with ``--plugin`` or ``LAYTON_BENCH_PLUGINS``. Import ``hookimpl`` and implement the
hooks that you need:

    from layton_bench import ModelCard, ModelSpec, hookimpl

    @hookimpl
    def layton_bench_register_models(register):
        register(ModelSpec(card=ModelCard(name="my-model", ...), load=load))

Each hook is called once, with a function ``register``. Its return value is ignored. A hook that
raises an exception disables its plugin: ``layton-bench list plugins`` shows the reason, and other
plugins work. Two plugins must not register the same name. Keep heavy imports inside load functions:
importing a plugin must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from layton_bench.datasets import DatasetSpec, Protocol
    from layton_bench.metrics import BackboneSpec, MetricPattern, MetricSpec
    from layton_bench.models import ModelPattern, ModelSpec
    from layton_bench.weights import WeightsEntry

PROJECT = "layton_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def layton_bench_register_models(register: Callable[[ModelSpec | ModelPattern], None]) -> None:
    """Register tokenizers and generators, or families of them whose names match a pattern."""


@hookspec
def layton_bench_register_metrics(register: Callable[[MetricSpec | MetricPattern], None]) -> None:
    """Register metrics, or families of them whose names match a pattern."""


@hookspec
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register data sets: a name, and a function that opens it in a data root."""


@hookspec
def layton_bench_register_suites(register: Callable[[Traversable], None]) -> None:
    """Register suites: the path of each TOML file."""


@hookspec
def layton_bench_register_protocols(register: Callable[[Protocol], None]) -> None:
    """Register preprocessing protocols: a name with a version, and a pure function PIL → uint8."""


@hookspec
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register weights: name, address, SHA-256, size, licence."""


@hookspec
def layton_bench_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Register feature extractors. Metrics of several plugins can share one in a single pass."""
