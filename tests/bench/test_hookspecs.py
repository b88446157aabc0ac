"""Every hook has docs and is exercised by a plugin."""

import re

import pytest
from lab import Site
from places import DOCS

from layton_bench import hookspecs
from layton_bench.registry.plugins import Plugins

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("layton_bench_register_"))
PAGE = DOCS / "plugins.md"

HEADER = "from layton_bench import hookimpl\n\n@hookimpl\ndef {hook}(register):\n"
BODIES = {
    "models": """
        from layton_bench import ModelCard, ModelSpec
        card = ModelCard(name="new", kind="tokenizer", family="f", summary="s")
        register(ModelSpec(card=card, load=lambda context: None))
    """,
    "metrics": """
        from layton_bench import MetricSpec
        register(MetricSpec(
            name="new", label="New", direction="lower", summary="s", make=lambda context: None
        ))
    """,
    "datasets": """
        from layton_bench import DatasetSpec
        register(DatasetSpec(name="new", summary="s", num_items=None, open=lambda root: None))
    """,
    "suites": """
        from pathlib import Path
        register(Path(__file__).with_name("new.toml"))
    """,
    "protocols": """
        from layton_bench import Protocol
        register(Protocol(name="new", version=3, summary="s", apply=lambda image, size: None))
    """,
    "weights": """
        from layton_bench import WeightsEntry, hub_file
        register(WeightsEntry(name="new", files=(hub_file("a/b", "c.bin"),), licence="MIT"))
    """,
    "backbones": """
        from layton_bench import BackboneSpec
        register(BackboneSpec(name="new", taps=("pool",), weights=(), load=lambda find, device: 0))
    """,
}
SUITE = """
name = "new"
kind = "reconstruction"
summary = "s"
dataset = "photos"
reference = "photos"
size_px = 64
protocol = "canonical@1"
metrics = ["psnr"]
"""


def test_the_whole_extension_surface_is_known_here() -> None:
    assert [f"layton_bench_register_{kind}" for kind in sorted(BODIES)] == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_registers(hook: str, site: Site) -> None:
    kind = hook.removeprefix("layton_bench_register_")
    (site.folder / "new.toml").write_text(SUITE)
    site.plugin("hooked", HEADER.format(hook=hook) + BODIES[kind])
    plugins = Plugins()
    assert next(i.error for i in plugins.infos if i.name == "hooked") is None
    name = "new@3" if kind == "protocols" else "new"
    table = getattr(plugins, kind)
    assert table.owners[name] == "hooked of dist-hooked"
    assert table[name].name == "new" if kind != "models" else table[name].card.name == "new"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert re.search(rf"^\| `{hook}` \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert (getattr(hookspecs, hook).__doc__ or "").startswith("Register ")
