"""Every hook a plugin can implement: the whole extension surface on this page.

A plugin is a module, named in the entry-point group ``layton_bench`` of its distribution (or given
by ``--plugin`` or ``LAYTON_BENCH_PLUGINS``). Import ``hookimpl`` and implement what you need:

    from layton_bench import ModelCard, ModelSpec, hookimpl

    @hookimpl
    def layton_bench_register_models(register):
        register(ModelSpec(card=ModelCard(name="my-model", ...), load=load))

Every hook is called once, with a ``register`` function; its return value is ignored. An exception
disables that plugin alone: it is named with its cause by ``layton-bench list plugins``, and the
rest work. A name that is taken already is an error naming both owners. Keep heavy imports inside
load functions: importing a plugin must not import torch.
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
    """Register tokenizers and generators, one by one or as families named by a pattern."""


@hookspec
def layton_bench_register_metrics(register: Callable[[MetricSpec | MetricPattern], None]) -> None:
    """Register metrics, one by one or as families named by a pattern."""


@hookspec
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register data sets: a name and a function that opens it below a data root."""


@hookspec
def layton_bench_register_suites(register: Callable[[Traversable], None]) -> None:
    """Register suites: the path of each TOML file."""


@hookspec
def layton_bench_register_protocols(register: Callable[[Protocol], None]) -> None:
    """Register preprocessing protocols: a versioned name and a pure function PIL → uint8."""


@hookspec
def layton_bench_register_weights(register: Callable[[WeightsEntry], None]) -> None:
    """Register weights: name → source address, SHA-256, size, licence."""


@hookspec
def layton_bench_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    """Register feature extractors that metrics of several plugins share in one pass."""
