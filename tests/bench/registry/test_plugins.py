"""Discovery, containment and look-up, with real distributions on a path of the test's own."""

import os
import re
from pathlib import Path

import pytest
from lab import Site

from layton_bench.errors import NameClashError, UnknownNameError, UserError
from layton_bench.registry.discovery import ENVIRONMENT_VARIABLE
from layton_bench.registry.plugins import Plugins

GOOD = """
    from layton_bench import ModelCard, ModelSpec, hookimpl

    CARD = ModelCard(
        name="{name}", kind="tokenizer", family="f", summary="s", aliases={aliases!r}
    )

    @hookimpl
    def layton_bench_register_models(register):
        register(ModelSpec(card=CARD, load=lambda context: None))
"""

PATTERN = """
    import re
    from layton_bench import ModelCard, ModelPattern, ModelSpec, hookimpl

    def make(match):
        card = ModelCard(name=match[0], kind="tokenizer", family="f", summary=match["n"])
        return ModelSpec(card=card, load=lambda context: None)

    @hookimpl
    def layton_bench_register_models(register):
        register(
            ModelPattern(
                pattern=re.compile(r"{pattern}"), examples=("pat-q30",), summary="s",
                make_spec=make,
            )
        )
"""


def good(name: str, *aliases: str) -> str:
    return GOOD.format(name=name, aliases=aliases)


def error_of(plugins: Plugins, name: str) -> str:
    return next(info.error or "" for info in plugins.infos if info.name == name)


def test_a_distribution_is_found_by_its_entry_point(site: Site) -> None:
    site.plugin("good_one", good("model-one"))
    plugins = Plugins()
    assert plugins.model("model-one").card.family == "f"
    info = next(info for info in plugins.infos if info.name == "good_one")
    assert (info.distribution, info.version, info.error) == ("dist-good_one", "1.2", None)
    assert plugins.models.owners["model-one"] == "good_one of dist-good_one"


BROKEN = {
    "import error": ("import no_such_module_here", "No module named 'no_such_module_here'"),
    "error while importing": ("1 / 0", "ZeroDivisionError: division by zero"),
    "syntax error": ("def", "SyntaxError"),
    "exit while importing": ("raise SystemExit(3)", "SystemExit: 3"),
    "quiet exit": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "base exception": ("raise GeneratorExit('x')", "GeneratorExit: x"),
    "message that cannot be shown": (
        """
        class Mute(Exception):
            def __str__(self):
                raise ValueError

        raise Mute
        """,
        "Mute: its message cannot be shown",
    ),
    "endless message": ("raise ValueError('x' * 50_000_000)", "… (50,000,000 characters)"),
    "escape sequence": ("raise ValueError('\\x1b[31m')", "ValueError: \\x1b[31m"),
    "wrong types": (
        """
        from layton_bench import ModelCard, ModelSpec, hookimpl

        @hookimpl
        def layton_bench_register_models(register):
            card = ModelCard(name=["n"], kind="tokenizer", family="f", summary="s")
            register(ModelSpec(card=card, load=print))
        """,
        "ModelCard.name is a list, not str",
    ),
    "misspelt hook": (
        """
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_model(register):
            pass
        """,
        "layton_bench_register_model",
    ),
    "misspelt argument": (
        """
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_models(registrar):
            pass
        """,
        "registrar",
    ),
    "hook without its mark": (
        """
        def layton_bench_register_models(register):
            pass
        """,
        "is @hookimpl missing?",
    ),
    "raising hook": (
        """
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_models(register):
            raise OSError("no shelf")
        """,
        "OSError: no shelf",
    ),
    "wrong kind": (
        """
        from layton_bench import ModelCard, hookimpl

        @hookimpl
        def layton_bench_register_models(register):
            register(ModelCard(name="n", kind="tokenizer", family="f", summary="s"))
        """,
        "layton_bench_register_models was given a ModelCard",
    ),
    "one name twice": (good("twice", "twice"), "it registers model 'twice' twice"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_with_its_cause_and_the_rest_work(site: Site, case: str) -> None:
    source, cause = BROKEN[case]
    site.plugin("a_broken_one", source)
    site.plugin("z_good_one", good("model-one"))
    plugins = Plugins()
    assert cause in error_of(plugins, "a_broken_one")
    assert plugins.model("model-one").card.name == "model-one"
    assert "photos-256" in plugins.suites.entries


def test_a_missing_entry_point_target_is_contained(site: Site) -> None:
    site.plugin("no_target", "", point="no_target:absent")
    assert "absent" in error_of(Plugins(), "no_target")


def test_nothing_of_a_plugin_that_fails_half_way_is_left(site: Site) -> None:
    site.plugin(
        "half_way",
        good("model-half")
        + """
    @hookimpl
    def layton_bench_register_suites(register):
        from pathlib import Path
        register(Path("no/such/suite.toml"))
    """,
    )
    plugins = Plugins()
    assert "there is no such file" in error_of(plugins, "half_way")
    assert "model-half" not in plugins.models.entries


def test_a_name_clash_names_both_owners(site: Site) -> None:
    site.plugin("one", good("same-name"))
    site.plugin("two", good("other-name", "same-name"))
    with pytest.raises(NameClashError) as caught:
        Plugins()
    assert caught.value.thing == "model 'same-name'"
    assert "'one of dist-one' and 'two of dist-two'" in caught.value.reason


def test_plugin_by_module_name(site: Site) -> None:
    site.module("by_module", good("model-one"))
    assert Plugins(["by_module"]).models.owners["model-one"] == "by_module"


def test_plugin_by_file(tmp_path: Path, site: Site) -> None:
    file = tmp_path / "elsewhere" / "by_file.py"
    file.parent.mkdir()
    file.write_text(good("model-one").replace("\n    ", "\n"))
    assert "model-one" in Plugins([str(file)]).models.entries


def test_plugin_by_package_folder_that_imports_its_own_modules(tmp_path: Path, site: Site) -> None:
    package = tmp_path / "elsewhere" / "by_folder"
    package.mkdir(parents=True)
    (package / "inner.py").write_text("NAME = 'model-inner'")
    text = good("x").replace("\n    ", "\n").replace('name="x"', "name=NAME")
    (package / "__init__.py").write_text("from by_folder.inner import NAME\n" + text)
    assert "model-inner" in Plugins([str(package)]).models.entries


def test_plugins_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.module("env_one", good("model-one"))
    file = site.module("env_two", good("model-two"))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, os.pathsep.join(["env_one", "", str(file)]))
    assert {"model-one", "model-two"} <= Plugins().models.entries.keys()


def test_a_module_named_in_two_ways_counts_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = site.plugin("both_ways", good("model-one"))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "both_ways")
    plugins = Plugins(["both_ways", str(file)])
    assert [info.name for info in plugins.infos].count("both_ways") == 1
    assert "model-one" in plugins.models.entries


@pytest.mark.parametrize("name", ["no_such_plugin", "no/such/file.py", "no/such/folder"])
def test_a_plugin_asked_for_by_name_must_be_there(site: Site, name: str) -> None:
    with pytest.raises(UserError, match=f"plugin '{name}': it does not work"):
        Plugins([name])


def test_a_plugin_asked_for_by_name_must_work(site: Site) -> None:
    file = site.module("asked_for", BROKEN["raising hook"][0])
    with pytest.raises(UserError, match="OSError: no shelf"):
        Plugins([str(file)])


def test_a_file_may_not_stand_in_for_another_module(tmp_path: Path, site: Site) -> None:
    file = tmp_path / "elsewhere" / "json.py"
    file.parent.mkdir()
    file.write_text(good("x"))
    with pytest.raises(UserError, match=r"the name 'json' is taken by .*rename json\.py"):
        Plugins([str(file)])


def test_a_folder_without_init_is_no_package(tmp_path: Path, site: Site) -> None:
    folder = tmp_path / "elsewhere" / "empty"
    folder.mkdir(parents=True)
    missing = re.escape(str(folder / "__init__.py"))
    with pytest.raises(UserError, match=f"there is no {missing}"):
        Plugins([str(folder)])


def test_a_pattern_makes_the_models_it_matches(site: Site) -> None:
    site.plugin("patterned", PATTERN.format(pattern=r"pat-q(?P<n>\d+)"))
    plugins = Plugins()
    assert plugins.model("pat-q75").card.summary == "75"
    with pytest.raises(UnknownNameError) as caught:
        plugins.model("pat-qx")
    assert caught.value.near[0] == "pat-q30"


def test_overlapping_patterns_are_a_clash(site: Site) -> None:
    site.plugin("one", PATTERN.format(pattern=r"pat-q(?P<n>\d+)"))
    site.plugin("two", PATTERN.format(pattern=r"pat-(?P<n>.+)"))
    plugins = Plugins()
    assert plugins.model("pat-x").card.summary == "x"
    with pytest.raises(NameClashError, match="'one of dist-one' and 'two of dist-two'"):
        plugins.model("pat-q3")


def test_a_name_inside_anothers_pattern_is_a_clash(site: Site) -> None:
    site.plugin("one", PATTERN.format(pattern=r"pat-q(?P<n>\d+)"))
    site.plugin("two", good("pat-q30"))
    with pytest.raises(NameClashError, match="pat-q30"):
        Plugins().model("pat-q30")


def test_aliases_are_names(site: Site) -> None:
    site.plugin("aliased", good("long-name", "ln"))
    plugins = Plugins()
    assert plugins.model("ln") is plugins.model("long-name")


@pytest.mark.parametrize(
    ("table", "name", "near"),
    [
        ("suites", "photo-256", "photos-256"),
        ("datasets", "coco-val", "coco-val2017"),
        ("protocols", "canonicl@1", "canonical@1"),
    ],
)
def test_look_ups_suggest_the_nearest_names(table: str, name: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        getattr(Plugins(), table)[name]
    assert near in caught.value.near


def test_a_plugin_cannot_move_the_working_directory(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site.plugin("mover", "import os; os.chdir('/')")
    Plugins()
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise SystemExit(0)", r"model 'odd-1': its plugin failed \(SystemExit: 0\)"),
        ("return None", "it made a NoneType of the name"),
        ("raise UserError('a', 'b', 'c')", "a: b. c"),
    ],
)
def test_a_pattern_that_fails_is_named(site: Site, body: str, message: str) -> None:
    site.plugin(
        "odd",
        f"""
        import re
        from layton_bench import ModelPattern, UserError, hookimpl

        def make(match):
            {body}

        @hookimpl
        def layton_bench_register_models(register):
            register(ModelPattern(
                pattern=re.compile("odd-[0-9]"), examples=("odd-1",), summary="s", make_spec=make,
            ))
        """,
    )
    with pytest.raises(UserError, match=message):
        Plugins().model("odd-1")


@pytest.mark.parametrize("kind", ["fifo", "device", "huge"])
def test_a_plugin_file_that_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd_plugin.py"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(UserError, match=r"there is no .*odd_plugin\.py|1,099,511,627,776 bytes"):
        Plugins([str(path)])
