"""The code that computes numbers: which files count, and which changes are noticed."""

import sys
from pathlib import Path

import pytest
from lab import Site

from layton_bench.registry import OURS, Plugins, code_of

PLUGIN = """
from layton_bench import hookimpl, ModelCard, ModelSpec
{more}

@hookimpl
def layton_bench_register_models(register):
    card = ModelCard(name="m", kind="tokenizer", family="f", summary="s")
    register(ModelSpec(card=card, load=lambda context: None))
"""


pytestmark = pytest.mark.usefixtures("site")  # forgets the plugins after each test


def code(path: Path) -> str:
    return code_of(Plugins([str(path)]), str(path))


def test_files_count_and_so_do_those_that_they_import(tmp_path: Path) -> None:
    plugin, helper, unused = (
        tmp_path / f"{name}.py" for name in ("coded", "coded_helper", "coded_unused")
    )
    plugin.write_text(PLUGIN.format(more="import coded_helper"))
    helper.write_text("A = 1")
    unused.write_text("B = 1")
    before = code(plugin)
    assert before.startswith("sha256:")
    unused.write_text("B = 2")
    assert code(plugin) == before
    helper.write_text("A = 2")
    after = code(plugin)
    assert after != before
    plugin.write_text(PLUGIN.format(more="import coded_helper  # other words"))
    assert code(plugin) != after


def test_an_import_inside_a_function_counts(tmp_path: Path) -> None:
    plugin, helper = tmp_path / "coded.py", tmp_path / "coded_helper.py"
    plugin.write_text(
        PLUGIN.format(more="def late():\n    from coded_helper import A\n    return A")
    )
    helper.write_text("A = 1")
    before = code(plugin)
    helper.write_text("A = 2")
    assert code(plugin) != before


def test_every_file_of_a_package_counts(tmp_path: Path) -> None:
    package = tmp_path / "coded"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN.format(more=""))
    (package / "deep" / "table.json").write_text("[1]")
    before = code(package)
    (package / "deep" / "table.json").write_text("[2]")
    assert code(package) != before


def test_the_same_code_elsewhere_is_the_same_code(tmp_path: Path) -> None:
    codes, path_before = [], list(sys.path)
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        plugin = tmp_path / folder / "coded.py"
        plugin.write_text(PLUGIN.format(more=""))
        codes.append(code(plugin))
        sys.modules.pop("coded")
        sys.path[:] = path_before
    assert codes[0] == codes[1]


def test_an_installed_plugin_has_a_version_and_a_digest_if_it_can_be_edited(site: Site) -> None:
    path = site.plugin("coded", PLUGIN.format(more=""))
    owner = "coded of dist-coded"
    before = code_of(Plugins(), owner)
    assert before.startswith("dist-coded 1.2, sha256:")
    path.write_text(path.read_text() + "# more")
    assert code_of(Plugins(), owner) != before


def test_a_plugin_in_site_packages_counts_by_its_version(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.plugin("coded", PLUGIN.format(more=""))
    monkeypatch.setattr(
        "layton_bench.registry.code._installed_places", lambda: (site.folder.resolve(),)
    )
    assert code_of(Plugins(), "coded of dist-coded").startswith("dist-coded 1.2")


def test_a_declaration_and_the_files_of_its_command_count(tmp_path: Path) -> None:
    declared, child = tmp_path / "outside.toml", tmp_path / "child.py"
    child.write_text("print(1)")
    declared.write_text(
        f'command = ["{sys.executable}", "child.py"]\n'
        '[card]\nname = "outside"\nkind = "tokenizer"\nfamily = "f"\nsummary = "s"\n'
    )
    before = code(declared)
    child.write_text("print(2)")
    after = code(declared)
    assert after != before
    declared.write_text(declared.read_text() + "# a comment\n")
    assert code(declared) != after


def test_the_harness_counts_too() -> None:
    assert code_of(Plugins(), OURS).startswith("layton-bench ")
