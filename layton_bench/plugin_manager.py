"""Finds plugins, contains broken ones, and looks everything up by name.

pluggy's own entry-point loader stops at the first plugin that fails to import, so entry points are
walked here, each under its own guard. Every hook is called plugin by plugin for the same reason.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from layton_bench import builtin, hookspecs
from layton_bench.backbones import BackboneSpec
from layton_bench.datasets.base import DatasetSpec
from layton_bench.errors import NameClashError, UnknownNameError, UserError
from layton_bench.metrics.base import MetricPattern, MetricSpec
from layton_bench.models import ModelPattern, ModelSpec
from layton_bench.preprocess import Protocol
from layton_bench.suite import Suite, load_suite
from layton_bench.weights import WeightsEntry

ENVIRONMENT_VARIABLE = "LAYTON_BENCH_PLUGINS"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What became of a plugin; ``error`` is None where it works."""

    name: str
    distribution: str
    version: str
    error: str | None = None


class Table(Generic[T]):
    """Name → thing and who registered it; a second owner of a name is an error naming both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: dict[str, T] = {}
        self.owners: dict[str, str] = {}

    def add(self, name: str, entry: T, owner: str) -> None:
        """Register; raises NameClashError."""
        if name in self.entries:
            raise NameClashError(self.kind, name, self.owners[name], owner)
        self.entries[name] = entry
        self.owners[name] = owner

    def __getitem__(self, name: str) -> T:
        """Look up; raises UnknownNameError with the nearest names."""
        try:
            return self.entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self.entries) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A plugin module, or why there is none."""

    info: PluginInfo
    module: ModuleType | None


class Plugins:
    """Everything registered by the built-ins and the plugins found.

    Args:
        extra: modules or paths given by ``--plugin``; a failure in one of these raises, since the
            user asked for it by name.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self.models: Table[ModelSpec] = Table("model")
        self.model_patterns: list[ModelPattern] = []
        self.metrics: Table[MetricSpec] = Table("metric")
        self.metric_patterns: list[MetricPattern] = []
        self.datasets: Table[DatasetSpec] = Table("dataset")
        self.suites: Table[Suite] = Table("suite")
        self.protocols: Table[Protocol] = Table("protocol")
        self.weights: Table[WeightsEntry] = Table("weight")
        self.backbones: Table[BackboneSpec] = Table("backbone")
        self.infos: list[PluginInfo] = []
        self._owner = ""
        for found, asked in _find(tuple(extra)):
            self._register(found, asked=asked)

    def model(self, name: str) -> ModelSpec:
        """The model of that name or alias, or made by the first pattern that matches it."""
        if name not in self.models.entries:
            for pattern in self.model_patterns:
                if match := pattern.pattern.fullmatch(name):
                    return pattern.make_spec(match)
            examples = [example for p in self.model_patterns for example in p.examples]
            raise UnknownNameError("model", name, [*self.models.entries, *examples])
        return self.models[name]

    def metric(self, name: str) -> MetricSpec:
        """The metric of that name, or made by the first pattern that matches it."""
        if name not in self.metrics.entries:
            for pattern in self.metric_patterns:
                if match := pattern.pattern.fullmatch(name):
                    return pattern.make_spec(match)
            examples = [example for p in self.metric_patterns for example in p.examples]
            raise UnknownNameError("metric", name, [*self.metrics.entries, *examples])
        return self.metrics[name]

    def _register(self, found: _Found, *, asked: bool) -> None:
        if found.module is None:
            self._reject(found.info, found.info.error or "", asked=asked)
            return
        self._owner = found.info.distribution
        try:
            _call_hooks(found.info.name, found.module, self._sinks())
        except NameClashError:
            raise
        except Exception as error:  # a plugin may raise anything; the rest must work
            self._reject(found.info, f"{type(error).__name__}: {error}", asked=asked)
        else:
            self.infos.append(found.info)

    def _reject(self, info: PluginInfo, error: str, *, asked: bool) -> None:
        if asked:
            raise UserError(
                f"plugin '{info.name}'", f"it failed to load ({error})", "Mend it or leave it out."
            )
        self.infos.append(
            PluginInfo(
                name=info.name, distribution=info.distribution, version=info.version, error=error
            )
        )

    def _sinks(self) -> Mapping[str, Callable[[Any], None]]:
        """Hook name → its register function."""
        return {
            "layton_bench_register_models": self._add_model,
            "layton_bench_register_metrics": self._add_metric,
            "layton_bench_register_datasets": self._adder(self.datasets),
            "layton_bench_register_suites": self._add_suite,
            "layton_bench_register_protocols": self._add_protocol,
            "layton_bench_register_weights": self._adder(self.weights),
            "layton_bench_register_backbones": self._adder(self.backbones),
        }

    def _adder(self, table: Table[Any]) -> Callable[[Any], None]:
        return lambda entry: table.add(entry.name, entry, self._owner)

    def _add_model(self, entry: ModelSpec | ModelPattern) -> None:
        if isinstance(entry, ModelPattern):
            self.model_patterns.append(entry)
            return
        for name in (entry.card.name, *entry.card.aliases):
            self.models.add(name, entry, self._owner)

    def _add_metric(self, entry: MetricSpec | MetricPattern) -> None:
        if isinstance(entry, MetricPattern):
            self.metric_patterns.append(entry)
        else:
            self.metrics.add(entry.name, entry, self._owner)

    def _add_protocol(self, protocol: Protocol) -> None:
        self.protocols.add(protocol.id, protocol, self._owner)

    def _add_suite(self, path: Traversable) -> None:
        suite = load_suite(path)
        self.suites.add(suite.name, suite, self._owner)


def _call_hooks(name: str, module: ModuleType, sinks: Mapping[str, Callable[[Any], None]]) -> None:
    """Call every hook the module implements; a misspelt one is an error, not silence."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=name)
    manager.check_pending()
    for hook, register in sinks.items():
        getattr(manager.hook, hook)(register=register)


def _find(extra: tuple[str, ...]) -> Iterable[tuple[_Found, bool]]:
    """The built-ins, then entry points by name, then what was asked for by name."""
    yield _Found(info=_own_info("builtin"), module=builtin), True
    for point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda p: (p.name, p.value)):
        distribution = point.dist.name if point.dist else "?"
        version = point.dist.version if point.dist else "?"
        yield _load(point.name, distribution, version, point.load), False
    listed = os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep)
    for name in (*filter(None, listed), *extra):
        yield _load(name, name, "", lambda name=name: _import(name)), True  # type: ignore[misc]


def _own_info(name: str) -> PluginInfo:
    from layton_bench import __version__

    return PluginInfo(name=name, distribution="layton-bench", version=__version__)


def _load(name: str, distribution: str, version: str, load: Callable[[], ModuleType]) -> _Found:
    try:
        module = load()
    except Exception as error:  # anything at all can go wrong in somebody's import
        reason = f"{type(error).__name__}: {error}"
        info = PluginInfo(name=name, distribution=distribution, version=version, error=reason)
        return _Found(info=info, module=None)
    return _Found(
        info=PluginInfo(name=name, distribution=distribution, version=version), module=module
    )


def _import(name: str) -> ModuleType:
    """A module by its dotted name, or by the path of a file or package folder."""
    path = Path(name)
    if path.suffix != ".py" and not path.is_dir():
        return importlib.import_module(name)
    file = path / "__init__.py" if path.is_dir() else path
    module_name = path.resolve().stem
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file}")
    spec = importlib.util.spec_from_file_location(
        module_name, file, submodule_search_locations=[str(path)] if path.is_dir() else None
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
