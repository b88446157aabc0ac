"""The whole command line: help, version, plugins, names."""

from importlib.metadata import version
from pathlib import Path

import pytest
from lab import Bench, Site
from processes import process


def test_version_and_help(bench: Bench) -> None:
    assert bench("--version").out == f"layton-bench {version('layton-bench')}\n"
    outcome = bench("--help")
    assert outcome.code == 0
    for command in ("run", "score", "list", "show", "leaderboard", "doctor", "weights"):
        assert f" {command} " in outcome.out


def test_python_m_is_the_same_command(tmp_path: Path) -> None:
    done = process("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"layton-bench {version('layton-bench')}\n")


def test_a_wrong_word_is_exit_code_2(bench: Bench) -> None:
    for words in (["rum"], ["list", "models!"], ["run", "--suite"], ["run", "--limit", "x"]):
        outcome = bench(*words)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err


CLASH = """
    from layton_bench import ModelCard, ModelSpec, hookimpl

    @hookimpl
    def layton_bench_register_models(register):
        card = ModelCard(name="same-name", kind="tokenizer", family="f", summary="s")
        register(ModelSpec(card=card, load=lambda context: None))
"""


def test_a_name_clash_names_both_owners(bench: Bench, site: Site) -> None:
    site.plugin("one", CLASH)
    site.plugin("two", CLASH)
    outcome = bench("list", "models")
    assert (outcome.code, outcome.out) == (2, "")
    assert "model 'same-name': both 'one of dist-one' and 'two of dist-two' register it" in (
        outcome.err
    )


UNKNOWN = {
    "suite": (["run", "--suite", "photo-256", "--model", "identity"], "photos-256"),
    "model": (["run", "--suite", "photos-256", "--model", "identitty"], "identity"),
    "pattern": (["run", "--suite", "photos-256", "--model", "wepb-q30"], "webp-q30"),
    "metric": (
        ["run", "--suite", "photos-256", "--model", "identity", "--metric", "pnsr"], "psnr",
    ),
    "leaderboard": (["leaderboard", "--suite", "photo-256"], "photos-256"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_name_suggests_the_nearest(bench: Bench, case: str) -> None:
    words, near = UNKNOWN[case]
    outcome = bench(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "there is none of that name" in outcome.err
    assert f"Did you mean {near}" in outcome.err
    assert list(bench.results.glob("*")) == []


def test_a_plugin_that_was_asked_for_must_work(bench: Bench) -> None:
    outcome = bench("--plugin", "no_such_plugin", "list", "models")
    assert (outcome.code, outcome.out) == (2, "")
    assert "plugin 'no_such_plugin': it does not work (ModuleNotFoundError" in outcome.err
