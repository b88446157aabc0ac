"""Finds the modules of plugins. A plugin that fails to import does not stop the others.

(pluggy's own loader of entry points stops at the first failure, so it is not used.)
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from layton_bench import hookspecs
from layton_bench.errors import LaytonBenchError, guarded, reason_of
from layton_bench.machine import open_regular
from layton_bench.registry import builtin
from layton_bench.registry.declared import external_model

ENVIRONMENT_VARIABLE = "LAYTON_BENCH_PLUGINS"

OURS = "builtin of layton-bench"
"""Owner of what the harness itself registers."""

_MAX_BYTES = 2**24
"""Size at which a file is no Python source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """A plugin, and whether it works.

    Attributes:
        name: name of its entry point, or the value of ``--plugin``.
        distribution: package that installed it; "" for a value of ``--plugin``.
        version: version of the distribution.
        error: why the plugin is left out; None if it works.
    """

    name: str
    distribution: str = ""
    version: str = ""
    error: str | None = None

    @property
    def owner(self) -> str:
        """Name of the plugin and of its distribution, for messages."""
        return f"{self.name} of {self.distribution}" if self.distribution else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plugin's module; ``info.error`` says why there is none.

    Attributes:
        info: the plugin.
        module: object that implements the hooks.
        is_asked: whether the user named it. Then its failure is an error.
    """

    info: PluginInfo
    module: object | None = None
    is_asked: bool = False


def find_plugins(extra: Iterable[str]) -> Iterator[Found]:
    """Yield the built-ins, the entry points by name, the user's plugins; each module once."""
    seen: set[int] = set()
    for found in _all(extra):
        if id(found.module) in seen:
            continue
        if found.module is not None:
            seen.add(id(found.module))
        yield found


def _all(extra: Iterable[str]) -> Iterator[Found]:
    from layton_bench import __version__

    own = PluginInfo(name="builtin", distribution="layton-bench", version=__version__)
    assert own.owner == OURS
    yield Found(info=own, module=builtin, is_asked=True)
    for point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda p: (p.name, p.value)):
        dist = point.dist
        info = PluginInfo(
            name=point.name,
            distribution=dist.name if dist else "?",
            version=dist.version if dist else "?",
        )
        yield _found(info, point.load, is_asked=False)
    listed = os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep)
    for name in dict.fromkeys((*filter(None, listed), *extra)):
        yield _found(PluginInfo(name=name), partial(_import, name), is_asked=True)


def _found(info: PluginInfo, load: Callable[[], object], *, is_asked: bool) -> Found:
    try:
        with guarded():
            return Found(info=info, module=load(), is_asked=is_asked)
    except LaytonBenchError as error:
        return Found(info=replace(info, error=reason_of(error)), is_asked=is_asked)


def _import(name: str) -> object:
    """Import a module by its dotted name, or by the path of a .py file or package folder.

    A .toml file declares an external model, and is a plugin.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return external_model(path.resolve())
    is_package = path.is_dir() and (path / "__init__.py").is_file()
    if path.suffix == ".py" or is_package or len(path.parts) > 1:
        if path.suffix == ".py" and not path.is_file():
            raise FileNotFoundError(f"there is no {path.absolute()}")
        return _import_path(path.resolve(), is_package=is_package)
    return importlib.import_module(name)


def _import_path(path: Path, *, is_package: bool) -> object:
    file = path / "__init__.py" if is_package else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no {path / '__init__.py'}")
    open_regular(file, max_bytes=_MAX_BYTES).close()
    # on sys.path, because worker processes must find the module too; at its end, because the
    # plugin's neighbours must not hide other modules
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()
    name = path.name if is_package else path.stem
    with _no_bytecode():
        module = importlib.import_module(name)
    origin = getattr(module, "__file__", None)
    if origin is None or Path(origin).resolve() != file:
        raise ImportError(f"the name '{name}' is taken by {origin or 'Python'}; rename {path.name}")
    return module


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Keep Python from caching a plugin that its author is editing.

    Python takes cached bytecode for current if the file has the same size and the same second. An
    edit within that second would be in the run's identity, and the old code would run.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
