"""Who imports whom, read from the source: docs/architecture.md has the arrows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from places import ROOT

import layton_bench

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


class Imports(ast.NodeVisitor):
    """Every module or name imported; those for type checking alone do not count."""

    def __init__(self, *, only_at_top: bool = False) -> None:
        self.found: set[str] = set()
        self._only_at_top = only_at_top

    def visit_If(self, node: ast.If) -> None:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in node.orelse if is_for_types else [*node.body, *node.orelse]:
            self.visit(child)

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


HARNESS = modules(ROOT, "layton_bench")


@cache
def graph(*, only_at_top: bool = False) -> dict[str, set[str]]:
    """Module → modules of the harness that it imports; the package itself is its public names."""
    return {
        name: {
            target
            for imported in imports(path, only_at_top=only_at_top)
            if (target := owner(imported)) and target not in (name, "layton_bench")
        }
        for name, path in HARNESS.items()
        if name != "layton_bench"
    }


def owner(imported: str) -> str | None:
    """The module of the harness that an imported name is, or is in."""
    if imported in HARNESS:
        return imported
    parent = imported.rpartition(".")[0]
    return parent if parent in HARNESS else None


def test_no_two_modules_import_each_other() -> None:
    arrows, done = graph(), set[str]()

    def walk(module: str, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if module in above:
            yield (*above[above.index(module) :], module)
        elif module not in done:
            for target in sorted(arrows.get(module, ())):
                yield from walk(target, (*above, module))
            done.add(module)

    assert [" → ".join(c) for module in sorted(arrows) for c in walk(module, ())] == []


def reach(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """A module, all it imports, and what these import."""
    found, pending = set[str](), [start]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += arrows.get(module, ())
    return found


HEAVY = ("torch", "torchvision", "transformers", "diffusers", "pandas", "scipy", "sklearn",
         "skimage", "matplotlib", "cv2", "lpips", "torchmetrics", "pyiqa")  # fmt: skip


@pytest.mark.parametrize("start", ["layton_bench.cli", "layton_bench.gates.plugin", "layton_bench"])
def test_nothing_heavy_is_imported_before_it_is_needed(start: str) -> None:
    arrows = dict(graph(only_at_top=True))
    arrows["layton_bench"] = {
        target for imported in imports(HARNESS["layton_bench"]) if (target := owner(imported))
    }
    if start not in HARNESS:
        pytest.skip(f"there is no {start}")
    heavy = {
        f"{module}: {imported}"
        for module in reach(start, arrows)
        for imported in imports(HARNESS[module], only_at_top=True)
        if imported.split(".")[0] in HEAVY
    }
    assert heavy == set()


def test_only_the_command_line_prints() -> None:
    console = {"typer", "rich"}
    users = {
        name
        for name, path in HARNESS.items()
        if console & {imported.split(".")[0] for imported in imports(path)}
    }
    assert {name for name in users if not name.startswith("layton_bench.cli")} == set()


def test_the_harness_knows_neither_plugins_nor_the_model() -> None:
    others = {"layton", *PLUGINS}
    seen = {
        f"{name}: {imported}"
        for name, path in HARNESS.items()
        for imported in imports(path)
        if imported.split(".")[0] in others
    }
    assert seen == set()


def test_the_model_knows_nothing_of_the_harness() -> None:
    seen = {
        f"{name}: {imported}"
        for name, path in modules(ROOT, "layton").items()
        for imported in imports(path)
        if imported.split(".")[0] in ("layton_bench", *PLUGINS)
    }
    assert seen == set()


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
