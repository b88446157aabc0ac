import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from fakes import suite
from places import DOCS

from layton_bench.errors import UserError
from layton_bench.registry.plugins import Plugins
from layton_bench.suite import load_suite

FOLDER = files("layton_bench") / "suites"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.name.endswith(".toml"))
GOOD = """
name = "mine-64"
kind = "reconstruction"
summary = "mine"
dataset = "photos"
reference = "photos"
size_px = 64
protocol = "canonical@1"
metrics = ["psnr"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_suite_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    mine = load_suite(written(tmp_path, GOOD))
    assert (mine.name, mine.version, mine.rounding) == ("mine-64", 1, "round")
    assert (mine.num_samples, mine.images_per_prompt) == (None, 1)
    assert mine.metrics == ("psnr",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("size_px = 64\nsizepx = 64", "sizepx: Extra inputs are not permitted"),
        ("size_px = 4", "size_px: Input should be greater than or equal to 8"),
        ("size_px = 64\nversion = 0", "version: Input should be greater than or equal to 1"),
        ("size_px = 64\nrounding = 'up'", "rounding: Input should be 'round'"),
        ("size_px = 64\nnum_samples = 0", "num_samples"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: str, problem: str) -> None:
    path = written(tmp_path, GOOD.replace("size_px = 64", change))
    with pytest.raises(UserError) as caught:
        load_suite(path)
    assert caught.value.thing == f"suite file {path}"
    assert problem in caught.value.reason


def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('kind = "reconstruction"\n', "").replace("mine-64", "Mine 64")
    with pytest.raises(UserError, match=r"name: .*; kind: Field required"):
        load_suite(written(tmp_path, text))


def test_what_is_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not valid TOML"):
        load_suite(written(tmp_path, "name = "))


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(UserError, match="line 1 is not UTF-8 text"):
        load_suite(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is a folder, not a file"):
        load_suite(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: there is no such file"):
        load_suite(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", NAMES)
def test_everything_a_built_in_suite_names_is_registered(name: str) -> None:
    plugins, built_in = Plugins(), load_suite(FOLDER / name)
    assert f"{built_in.name}.toml" == name
    assert plugins.suites[built_in.name] == built_in
    assert plugins.datasets[built_in.dataset].name == built_in.dataset
    if plugins.datasets[built_in.dataset].has_images:
        assert plugins.protocols[built_in.protocol].is_square == (built_in.size_px is not None)
        assert built_in.name.endswith(f"-{built_in.size_px}")
    assert [plugins.metric(metric).name for metric in built_in.metrics] == list(built_in.metrics)


def test_the_suites_that_were_asked_for_exist() -> None:
    asked = {
        "photos-256", "photos-512", "imagenet-256", "imagenet-512", "imagenet-1024",
        "coco5k-256", "coco5k-512", "coco5k-1024", "mjhq5k-1024", "flux5k-1024",
    }  # fmt: skip
    assert asked <= Plugins().suites.entries.keys()
    counts = {n: load_suite(FOLDER / f"{n}.toml").num_samples for n in asked}
    assert {n: c for n, c in counts.items() if c != 5000} == {
        "photos-256": None, "photos-512": None,
        "imagenet-256": 50_000, "imagenet-512": 50_000, "imagenet-1024": 50_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"kind": "generation"}, {"dataset": "other"}, {"reference": "other"},
        {"num_samples": 5}, {"size_px": 32}, {"protocol": "canonical@2"}, {"rounding": "truncate"},
        {"images_per_prompt": 2}, {"name": "other-16"},
    ],
)  # fmt: skip
def test_whatever_decides_a_value_is_in_the_digest(change: dict[str, object]) -> None:
    assert suite(**change).digest() != suite().digest()


def test_texts_and_the_list_of_metrics_are_not(tmp_path: Path) -> None:
    assert suite(summary="other", metrics=("psnr", "fid")).digest() == suite().digest()


def test_the_docs_example_is_a_valid_suite(tmp_path: Path) -> None:
    page = (DOCS / "suites.md").read_text("utf-8")
    text = page.split("```toml\n")[1].split("```")[0]
    assert set(tomllib.loads(text)) == {
        "name", "version", "kind", "summary", "dataset", "reference", "num_samples", "size_px",
        "protocol", "rounding", "metrics",
    }  # fmt: skip
    assert load_suite(written(tmp_path, text)).num_samples == 1000
