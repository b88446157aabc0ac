"""The code that computes a run's numbers: versions of what is installed, digests of the rest.

A plugin that is given by its path, or installed so that it can be edited, may change from one run
to the next while its version stays. Its files count by their contents, and so do the files that it
imports from the same places.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from layton_bench.datasets import joined
from layton_bench.registry.plugins import Plugins

_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_LEFT_OUT = ("__pycache__", ".git")


@runtime_checkable
class HasSources(Protocol):
    """A plugin that is no Python module and knows its files."""

    def sources(self) -> Sequence[Path]:
        """Return the files that decide what the plugin does."""


def code_of(plugins: Plugins, owner: str) -> str:
    """Return distribution, version and digest of a plugin, as far as it has them.

    Args:
        plugins: where the plugin is registered.
        owner: its name, as the registry's tables give it.
    """
    info, module = plugins.modules[owner]
    parts = [f"{info.distribution} {info.version}"] if info.distribution else []
    units = _units(module)
    if units:
        parts.append(
            f"sha256:{joined(f'{path.name} {unit.digest}' for path, unit in units.items())}"
        )
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class _Unit:
    """The contents of a package's folder or of one file, and the names that it imports."""

    digest: str
    imports: frozenset[str]


def _units(module: object) -> dict[Path, _Unit]:
    """Return the packages and files of a plugin, and those that it imports.

    Installed packages are left out: their versions count.
    """
    found: dict[Path, _Unit] = {}
    pending = _first_units(module)
    while pending:
        path = pending.pop()
        if path in found or _is_installed(path):
            continue
        found[path] = _read(path, _state(path))
        beside = path.parent
        others = (_find(name, beside) for name in found[path].imports)
        pending += [other for other in others if other is not None]
    return found


def _first_units(module: object) -> list[Path]:
    if isinstance(module, HasSources):
        return list(module.sources())
    origin = getattr(module, "__file__", None)
    return [_top(Path(origin), getattr(module, "__name__", ""))] if origin else []


def _top(origin: Path, name: str) -> Path:
    """Return the folder of a module's top package, or the module's file if it has none."""
    depth = name.count(".") + (origin.name == "__init__.py")
    return origin.parents[depth - 1] if depth else origin


_State = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and inode of each file of a unit."""


def _state(unit: Path) -> _State:
    """Return what tells whether a unit has changed since it was read."""
    if not unit.is_dir():
        return tuple(_state_of(str(unit)))
    found: list[tuple[str, int, int, int]] = []
    for folder, folders, files in os.walk(unit):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in files:
            found += _state_of(f"{folder}{os.sep}{name}")
    return tuple(sorted(found))


def _state_of(path: str) -> list[tuple[str, int, int, int]]:
    try:
        stat = os.stat(path)  # noqa: PTH116, hundreds of files: pathlib takes twice as long
    except OSError:  # it was deleted meanwhile
        return []
    return [(path, stat.st_size, stat.st_ctime_ns, stat.st_ino)]


@lru_cache(maxsize=256)
def _read(unit: Path, state: _State) -> _Unit:
    lines, names = [], set[bytes]()
    for path, *_ in state:
        try:
            data = Path(path).read_bytes()
        except OSError:
            data = b""
        name = Path(path).relative_to(unit.parent).as_posix()
        lines.append(f"{name} {hashlib.sha256(data).hexdigest()}")
        if path.endswith(".py"):
            names.update(_IMPORT.findall(data))
    imports = frozenset(name.decode() for name in names) - sys.stdlib_module_names
    return _Unit(joined(lines), imports)


def _find(name: str, beside: Path) -> Path | None:
    """Return the package folder or file of a name, first beside the file that imports it."""
    for candidate in (beside / name / "__init__.py", beside / f"{name}.py"):
        if candidate.is_file():
            return candidate.parent if candidate.name == "__init__.py" else candidate
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _is_installed(path: Path) -> bool:
    """Return whether a file belongs to Python or an installed package: their versions count."""
    resolved = path.resolve()
    return any(resolved.is_relative_to(place) for place in _installed_places())


@cache
def _installed_places() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places: Iterable[str] = {
        *(sysconfig.get_paths()[name] for name in names),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
    return tuple(Path(os.path.realpath(place)) for place in places)
