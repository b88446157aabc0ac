"""Finds the modules of plugins, each import under its own guard.

pluggy's own entry-point loader stops at the first plugin that fails to import, so the entry points
are walked here.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from layton_bench import hookspecs
from layton_bench.models import external_model
from layton_bench.registry import builtin

ENVIRONMENT_VARIABLE = "LAYTON_BENCH_PLUGINS"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What became of a plugin.

    Attributes:
        name: of its entry point, or as given by ``--plugin``.
        distribution: what installed it; "" for one given by ``--plugin``.
        version: of the distribution.
        error: why it is left out; None where it works.
    """

    name: str
    distribution: str = ""
    version: str = ""
    error: str | None = None

    @property
    def owner(self) -> str:
        """Who registers, in words."""
        return f"{self.name} of {self.distribution}" if self.distribution else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plugin's module, or in ``info.error`` why there is none.

    Attributes:
        info: who it is.
        module: what implements the hooks.
        is_asked: whether the user named it, so that its failure is theirs to mend.
    """

    info: PluginInfo
    module: object | None = None
    is_asked: bool = False


def find_plugins(extra: Iterable[str]) -> Iterator[Found]:
    """The built-ins, then entry points by name, then what the user names; each module once."""
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
    yield Found(info=own, module=builtin, is_asked=True)
    for point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda p: (p.name, p.value)):
        dist = point.dist
        info = PluginInfo(
            name=point.name,
            distribution=dist.name if dist else "?",
            version=dist.version if dist else "?",
        )
        yield _guarded(info, point.load, is_asked=False)
    listed = os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep)
    for name in dict.fromkeys((*filter(None, listed), *extra)):
        yield _guarded(PluginInfo(name=name), lambda name=name: _import(name), is_asked=True)  # type: ignore[misc]


def _guarded(info: PluginInfo, load: Callable[[], object], *, is_asked: bool) -> Found:
    try:
        return Found(info=info, module=load(), is_asked=is_asked)
    except (Exception, SystemExit) as error:  # anything at all can go wrong in an import
        return Found(info=left_out(info, error), is_asked=is_asked)


def left_out(info: PluginInfo, error: BaseException) -> PluginInfo:
    """The same plugin with the reason why it is left out."""
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return PluginInfo(
        name=info.name, distribution=info.distribution, version=info.version, error=reason
    )


def _import(name: str) -> object:
    """A module by its dotted name, or by the path of a .py file or package folder.

    A .toml file declares an external model and is a plugin by itself.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return external_model(path.resolve())
    is_package = path.is_dir() and (path / "__init__.py").is_file()
    if path.suffix == ".py" or is_package or len(path.parts) > 1:
        return _import_path(path.resolve(), is_package=is_package)
    return importlib.import_module(name)


def _import_path(path: Path, *, is_package: bool) -> object:
    file = path / "__init__.py" if is_package else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file if path.suffix else path / '__init__.py'}")
    # On sys.path, because worker processes are given it and must find the module again; last,
    # because its neighbours must not hide anybody's modules.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()
    name = path.name if is_package else path.stem
    module = importlib.import_module(name)
    origin = getattr(module, "__file__", None)
    if origin is None or Path(origin).resolve() != file:
        raise ImportError(f"the name '{name}' is taken by {origin or 'Python'}; rename {path.name}")
    return module
