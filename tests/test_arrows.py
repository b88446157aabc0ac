"""Who imports whom, read from the source. docs/architecture.md draws the rooms in this order."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from places import DOCS, ROOT

import layton_bench

ROOMS = {
    "layton_bench": (
        "errors", "types", "seeds", "machine", "images", "intervals", "suite",
        "weights", "models", "datasets", "metrics", "records", "tasks",
        "hookspecs",  # the words of a plugin are types of the rooms above
        "registry", "compare", "leaderboard", "report", "run", "gates", "cli",
    ),
    "layton": (
        "errors", "images", "files", "weights", "tokenizer", "flops", "generator", "training",
        "cli",
    ),
}  # fmt: skip
"""Ground floor first: a room imports from those before it alone."""

FACES = ("tasks.geneval", "tasks.scenes")
"""Rooms inside a room that have a face of their own."""

THE_ONE_DOOR = {
    "layton_bench.images → layton.errors",
    "layton_bench.images → layton.images",
}
"""All that the harness knows of the model: the rule that turns a file into pixels."""

PLUGINS = sorted(
    path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file()
)


def modules(base: Path, package: str) -> dict[str, Path]:
    """Dotted name → file of every module of a package."""
    found = {}
    for path in sorted((base / package).rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = {name: path for base in ROOMS for name, path in modules(ROOT, base).items()}


class Imports(ast.NodeVisitor):
    """Every module or name imported, those for type checking too."""

    def __init__(self, *, only_at_top: bool = False) -> None:
        self.found: set[str] = set()
        self._only_at_top = only_at_top

    def visit_If(self, node: ast.If) -> None:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if not (is_for_types and self._only_at_top):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if not self._only_at_top:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert not node.level, "imports are absolute"
        self.found |= {f"{node.module}.{alias.name}" for alias in node.names}


@cache
def imports(path: Path, *, only_at_top: bool = False) -> set[str]:
    visitor = Imports(only_at_top=only_at_top)
    visitor.visit(ast.parse(path.read_text("utf-8")))
    return visitor.found


@cache
def face(package: str) -> dict[str, str]:
    """Name → module that a room's ``__init__.pyi`` takes it from."""
    path = MODULES[package].with_suffix(".pyi")
    if not path.is_file():
        return {}
    return {
        alias.name: f"{package}.{node.module}"
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def home(imported: str) -> str | None:
    """The module that an imported name is, or is defined in; faces are looked through."""
    if imported in MODULES:
        return imported
    parent, _, name = imported.rpartition(".")
    while parent in MODULES and name in face(parent):
        parent = face(parent)[name]
    return parent if parent in MODULES else None


@cache
def graph(*, only_at_top: bool = False) -> dict[str, set[str]]:
    """Module → modules of ours that it imports."""
    return {
        name: {
            target
            for imported in imports(path, only_at_top=only_at_top)
            if (target := home(imported)) and target != name
        }
        for name, path in MODULES.items()
    }


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("base", ROOMS)
def test_every_module_is_in_a_room(base: str) -> None:
    found = {room(name) for name in MODULES if name.split(".")[0] == base}
    assert found - {"", "__main__"} == set(ROOMS[base])


@pytest.mark.parametrize("base", ROOMS)
def test_imports_point_downwards(base: str) -> None:
    floor = {name: number for number, name in enumerate(ROOMS[base])}
    up = {
        f"{module} → {target}"
        for module, targets in graph().items()
        for target in targets
        if module.split(".")[0] == base == target.split(".")[0]
        if floor.get(room(module), len(floor)) < floor.get(room(target), -1)
    }
    assert up == set()


def test_no_two_modules_import_each_other() -> None:
    arrows, done = graph(), set[str]()

    def walk(module: str, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if module in above:
            yield (*above[above.index(module) :], module)
        elif module not in done:
            for target in sorted(arrows.get(module, ())):
                yield from walk(target, (*above, module))
            done.add(module)

    circles = {" → ".join(c) for module in sorted(arrows) for c in walk(module, ())}
    assert circles == set()


def faces() -> list[str]:
    """Every package that has a face."""
    return [name for name, path in MODULES.items() if path.with_suffix(".pyi").is_file()]


def test_nobody_reaches_past_a_face() -> None:
    inner = {f"{base}.{name}" for base in ROOMS for name in (*ROOMS[base], *FACES)} & set(faces())

    def face_of(module: str) -> str:
        return max((f for f in inner if f"{module}.".startswith(f"{f}.")), key=len, default="")

    past = {
        f"{module}: {imported}"
        for module, path in MODULES.items()
        for imported in imports(path)
        if (target := home(imported))
        and (room_face := face_of(target))
        and not f"{module}.".startswith(f"{room_face}.")
        and imported.rpartition(".")[0] not in (room_face, room_face.rpartition(".")[0])
    }
    assert past == set()


@pytest.mark.parametrize("package", faces())
def test_a_face_gives_what_it_names(package: str) -> None:
    shown = face(package)
    beside = {name.removeprefix(f"{package}.") for name in MODULES if name.startswith(package)}
    assert not beside & set(shown), "a function would be hidden by the module of its name"
    module = importlib.import_module(package)
    assert set(shown) <= set(module.__all__)
    for name, source in shown.items():
        assert getattr(module, name) is getattr(importlib.import_module(source), name)


def reach(start: str) -> set[str]:
    """A module, all it imports at its top, and what these import."""
    arrows, found, pending = graph(only_at_top=True), set[str](), [start]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += arrows.get(module, ())
    return found


HEAVY = ("torch", "torchvision", "transformers", "diffusers", "pandas", "scipy", "sklearn",
         "skimage", "matplotlib", "cv2", "lpips", "torchmetrics", "pyiqa")  # fmt: skip


@pytest.mark.parametrize(
    "start", ["layton_bench.cli.handler", "layton_bench.gates.plugin", "layton_bench", "layton"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(start: str) -> None:
    heavy = {
        f"{module}: {imported}"
        for module in reach(start)
        for imported in imports(MODULES[module], only_at_top=True)
        if imported.split(".")[0] in HEAVY
    }
    assert heavy == set()


def test_only_the_command_line_prints() -> None:
    console = {"typer", "rich"}
    users = {
        name
        for name, path in MODULES.items()
        if name.split(".")[0] == "layton_bench"
        and console & {imported.split(".")[0] for imported in imports(path)}
    }
    assert {name for name in users if room(name) != "cli"} == set()


@pytest.mark.parametrize("base", ROOMS)
def test_the_harness_and_the_model_know_neither_each_other_nor_plugins(base: str) -> None:
    others = {*ROOMS, *PLUGINS} - {base}
    seen = {
        f"{name} → {'.'.join(imported.split('.')[:2])}"
        for name, path in MODULES.items()
        if name.split(".")[0] == base
        for imported in imports(path)
        if imported.split(".")[0] in others
    }
    assert seen == (THE_ONE_DOOR if base == "layton_bench" else set())


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_uses_public_names_as_an_outsider_would(plugin: str) -> None:
    public = {f"layton_bench.{name}" for name in layton_bench.__all__}
    for name, path in modules(ROOT / "plugins", plugin).items():
        for imported in imports(path):
            top = imported.split(".")[0]
            if top == "layton_bench":
                assert imported in public, f"{name}: {imported}"
            assert not (top in PLUGINS and top != plugin), f"{name}: {imported}"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_importing_a_plugin_imports_nothing_heavy(plugin: str) -> None:
    files = modules(ROOT / "plugins", plugin)
    pending, seen = [plugin], set[str]()
    while pending:
        module = pending.pop()
        seen.add(module)
        for imported in imports(files[module], only_at_top=True):
            assert imported.split(".")[0] not in HEAVY, f"{module}: {imported}"
            parent = imported if imported in files else imported.rpartition(".")[0]
            if parent in files and parent not in seen:
                pending.append(parent)


def test_the_public_names_are_sorted_and_there() -> None:
    assert layton_bench.__all__ == sorted(layton_bench.__all__)
    assert all(hasattr(layton_bench, name) for name in layton_bench.__all__)


def test_the_page_on_architecture_names_places_that_exist() -> None:
    page = (DOCS / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:layton|layton_bench|tests)/[\w/]*(?:\.\w+)?)`", page))
    assert len(named) > 30
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
    rooms = {name for names in ROOMS.values() for name in names}
    assert sorted(name for name in rooms if not re.search(rf"\b{name}\b", page)) == []


LONG = {
    "layton_bench/models/external/child/layton_bench_child.py": "a child imports this file alone",
}
"""Files above 300 lines, and why."""


def test_a_file_has_at_most_300_lines() -> None:
    files = {str(path.relative_to(ROOT)): path for path in MODULES.values()}
    long = {name for name, path in files.items() if len(path.read_text("utf-8").splitlines()) > 300}
    assert long == set(LONG)


def test_a_function_has_at_most_60_lines() -> None:
    """Below its signature, which for a command lists the options."""
    long = {
        f"{name}.{node.name}"
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.body[0].lineno >= 60
    }
    assert long == set()
