"""All registered things by name: models, metrics, data sets, suites and so on.

The hooks of each plugin are called separately. A plugin is left out as a whole if one of its hooks
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pluggy

from layton_bench import hookspecs
from layton_bench.datasets import Dataset, DatasetSpec, Protocol
from layton_bench.errors import (
    LaytonBenchError,
    NameClashError,
    UnknownNameError,
    UserError,
    guarded,
    guarded_for_user,
    reason_of,
)
from layton_bench.metrics import BackboneSpec, MetricPattern, MetricSpec
from layton_bench.models import ModelPattern, ModelSpec
from layton_bench.registry.discovery import Found, PluginInfo, find_plugins
from layton_bench.registry.wellformed import refuse_wrong_types
from layton_bench.suite import Suite, load_suite
from layton_bench.weights import WeightsEntry

T = TypeVar("T")


class Table(Generic[T]):
    """Name → thing and its owner. A name with two owners is an error that names both.

    Args:
        kind: kind of thing, in the singular.
        listing: command that lists the things.
    """

    def __init__(self, kind: str, listing: str) -> None:
        self.kind = kind
        self.listing = listing
        self.entries: dict[str, T] = {}
        self.owners: dict[str, str] = {}

    def add(self, name: str, entry: T, owner: str) -> None:
        """Add an entry; raises NameClashError."""
        if name in self.entries:
            raise NameClashError(self.kind, name, self.owners[name], owner)
        self.entries[name] = entry
        self.owners[name] = owner

    def __getitem__(self, name: str) -> T:
        """Return the entry of that name; raises UnknownNameError with near names."""
        try:
            return self.entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self.entries, listing=self.listing) from None


class _Registration(NamedTuple):
    table: Table[Any]
    name: str
    entry: Any


class Plugins:
    """Everything that the built-ins and the plugins register.

    Args:
        extra: modules or paths given by ``--plugin``. Each of these must work.

    Raises:
        NameClashError: two plugins register the same name.
        UserError: a plugin that the user named does not work.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self.models: Table[ModelSpec] = Table("model", "list models")
        self.model_patterns: Table[ModelPattern] = Table("model pattern", "list models")
        self.metrics: Table[MetricSpec] = Table("metric", "list metrics")
        self.metric_patterns: Table[MetricPattern] = Table("metric pattern", "list metrics")
        self.datasets: Table[DatasetSpec] = Table("data set", "list datasets")
        self.suites: Table[Suite] = Table("suite", "list suites")
        self.protocols: Table[Protocol] = Table("protocol", "list protocols")
        self.weights: Table[WeightsEntry] = Table("weight", "weights list")
        self.backbones: Table[BackboneSpec] = Table("backbone", "list backbones")
        self.infos: list[PluginInfo] = []
        self.modules: dict[str, tuple[PluginInfo, object]] = {}  # by owner
        for found in find_plugins(extra):
            self.infos.append(self._take_in(found))

    def model(self, name: str) -> ModelSpec:
        """Return the model of that name or alias, or the one that a pattern makes of it."""
        return _look_up(name, self.models, self.model_patterns, ModelSpec)[1]

    def metric(self, name: str) -> MetricSpec:
        """Return the metric of that name, or the one that a pattern makes of it."""
        return _look_up(name, self.metrics, self.metric_patterns, MetricSpec)[1]

    def model_owner(self, name: str) -> str:
        """Return who registered a model; raises UnknownNameError."""
        return _look_up(name, self.models, self.model_patterns, ModelSpec)[0]

    def metric_owner(self, name: str) -> str:
        """Return who registered a metric; raises UnknownNameError."""
        return _look_up(name, self.metrics, self.metric_patterns, MetricSpec)[0]

    def weights_of_metrics(self) -> set[str]:
        """Return the names of weights that metrics and their backbones are defined by."""
        tables = (self.metrics.entries, self.backbones.entries)
        return {name for table in tables for spec in table.values() for name in spec.weights}

    def open_dataset(self, name: str, root: Path | None) -> Dataset:
        """Open a data set below a data root.

        Raises:
            UserError: unknown, missing, or its plugin failed.
        """
        spec = self.datasets[name]
        owner = self.datasets.owners[name]
        with guarded_for_user(
            f"data set '{name}' of {owner}", "it cannot be opened", "Check --data-root."
        ):
            return spec.open(root)

    def _take_in(self, found: Found) -> PluginInfo:
        """Register everything that a plugin offers, or nothing."""
        info = found.info
        if found.module is not None:
            try:
                with guarded():
                    registrations = list(self._registrations(_call_hooks(info.name, found.module)))
                    _refuse_twice(registrations)
            except LaytonBenchError as error:
                info = replace(info, error=reason_of(error))
            else:
                for table, name, entry in registrations:
                    table.add(name, entry, info.owner)
                self.modules[info.owner] = (info, found.module)
        if found.is_asked and info.error is not None:
            raise UserError(
                f"plugin '{info.name}'",
                f"it does not work ({info.error})",
                "Fix the plugin, or drop --plugin.",
            )
        return info

    def _registrations(self, offered: Mapping[str, Sequence[Any]]) -> Iterator[_Registration]:
        """Yield each entry with its table and name; raises TypeError for an unknown kind."""
        for hook, entries in offered.items():
            for entry in entries:
                refuse_wrong_types(entry)
                found = list(self._named(hook, entry))
                if not found:
                    raise TypeError(f"{hook} was given a {type(entry).__name__}")
                yield from found

    def _named(self, hook: str, entry: Any) -> Iterator[_Registration]:
        match hook.removeprefix("layton_bench_register_"), entry:
            case "models", ModelSpec():
                for name in (entry.card.name, *entry.card.aliases):
                    yield _Registration(self.models, name, entry)
            case "models", ModelPattern():
                yield _Registration(self.model_patterns, entry.pattern.pattern, entry)
            case "metrics", MetricSpec():
                yield _Registration(self.metrics, entry.name, entry)
            case "metrics", MetricPattern():
                yield _Registration(self.metric_patterns, entry.pattern.pattern, entry)
            case "datasets", DatasetSpec():
                yield _Registration(self.datasets, entry.name, entry)
            case "suites", Traversable():
                suite = load_suite(entry)
                yield _Registration(self.suites, suite.name, suite)
            case "protocols", Protocol():
                yield _Registration(self.protocols, entry.id, entry)
            case "weights", WeightsEntry():
                yield _Registration(self.weights, entry.name, entry)
            case "backbones", BackboneSpec():
                yield _Registration(self.backbones, entry.name, entry)


def _call_hooks(name: str, module: object) -> dict[str, list[Any]]:
    """Return what the module registers by each hook; a misspelt hook is an error."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=name)
    manager.check_pending()
    hooks = [caller.name for caller in manager.get_hookcallers(module) or ()]
    if not hooks:
        raise TypeError("it implements no hook; is @hookimpl missing?")
    offered: dict[str, list[Any]] = {hook: [] for hook in hooks}
    for hook, entries in offered.items():
        getattr(manager.hook, hook)(register=partial(list.append, entries))
    return offered


def _refuse_twice(registrations: Iterable[_Registration]) -> None:
    seen: set[tuple[str, str]] = set()
    for table, name, _ in registrations:
        if (table.kind, name) in seen:
            raise ValueError(f"it registers {table.kind} '{name}' twice")
        seen.add((table.kind, name))


def _look_up(name: str, table: Table[T], patterns: Table[Any], kind: type[T]) -> tuple[str, T]:
    """Return owner and entry of that name, or of the pattern that makes an entry of it.

    Raises:
        UnknownNameError: there is none. The examples of patterns are among the near names.
        NameClashError: the patterns of two plugins match the name.
        UserError: the pattern's plugin fails.
    """
    made: dict[str, Callable[[], T]] = {}
    if name in table.entries:
        made[table.owners[name]] = lambda: table.entries[name]
    for key, pattern in patterns.entries.items():
        if match := pattern.pattern.fullmatch(name):
            made.setdefault(patterns.owners[key], partial(pattern.make_spec, match))
    if not made:
        examples = [example for p in patterns.entries.values() for example in p.examples]
        known = [*table.entries, *examples]
        raise UnknownNameError(table.kind, name, known, listing=table.listing)
    owners = list(made)
    if len(owners) > 1:
        raise NameClashError(table.kind, name, owners[0], owners[1])
    with guarded_for_user(
        f"{table.kind} '{name}'", "its plugin failed", "Ask the plugin's author."
    ):
        spec = made[owners[0]]()
        if not isinstance(spec, kind):
            raise TypeError(f"it made a {type(spec).__name__} of the name")
        refuse_wrong_types(spec)
    return owners[0], spec
