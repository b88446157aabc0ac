"""Recipe files: what they may say, how the command line changes them, how mistakes are named."""

import re
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from tiny_training import draw_images, recipe, tables

import layton
from layton.cli import main
from layton.errors import ConfigError
from layton.training.data.extract import ExtractRecipe
from layton.training.optim import learning_rate
from layton.training.phases import PHASES, recipe_kind
from layton.training.recipe import OptimizerRecipe, read_toml, validate, with_overrides

RECIPES = sorted((Path(layton.__file__).parent / "recipes").rglob("*.toml"))

TOML = """
phase = "vae"
output = "OUT/run"
stages = [{ steps = 2, batch_size = 2, size_px = 16 }, { steps = 3, batch_size = 4, size_px = 32 }]
data = { sources = [{ path = "OUT/images" }] }
vae = { block_out_channels = [4, 8], layers_per_block = 1, norm_num_groups = 2 }
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`layton train FILE WORDS…` → (exit code, standard error)."""
    path = tmp_path / "vae.toml"
    path.write_text(TOML.replace("OUT", str(tmp_path)))

    def run(*words, text=None, verb="train"):
        if text is not None:
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
        monkeypatch.setattr(sys, "argv", ["layton", verb, str(path), *words])
        with pytest.raises(SystemExit) as exited:
            main()
        return exited.value.code, capsys.readouterr().err

    return run


def test_the_shipped_recipes_are_found():
    names = {str(path.relative_to(path.parents[1])) for path in RECIPES}
    assert {"layton/1-alignment.toml", "layton/2-consistency-h.toml"} <= names
    assert {"layton-tiny/1-vq.toml", "laytongen-tiny/2-gpt.toml"} <= names


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_recipe_is_valid(path):
    found = read_toml(path)
    if found["phase"] == "extract":
        validate(ExtractRecipe, found, source=path)
    else:
        chosen = validate(recipe_kind(found, source=str(path)), found, source=path)
        assert chosen.num_steps == sum(stage.steps for stage in chosen.stages)


def test_the_guides_examples_are_valid():
    guide = (Path(layton.__file__).parents[1] / "docs/training.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    whole, evaluation, negatives = (tomllib.loads(textwrap.dedent(block)) for block in blocks)
    found = validate(recipe_kind(whole, source=""), whole | evaluation, source=Path("guide"))
    assert found.accumulate == 2
    assert found.evaluation.suite == "photos-256"
    tables = read_toml(RECIPES[0].parents[1] / "laytongen-tiny/10-gpt.toml") | negatives
    found = validate(recipe_kind(tables, source=""), tables, source=Path("guide"))
    assert found.hard_negatives.replaced["left"] == "right"
    # every file that the guide links or names
    names = re.findall(r"RECIPES/([\w/.-]+\.toml)", guide)
    assert names
    assert all((RECIPES[0].parents[1] / name).is_file() for name in names)


def test_full_size_alignment_grows_from_512_to_1024_and_freezes_all_but_the_copy():
    path = next(p for p in RECIPES if p.name == "1-alignment.toml")
    found = validate(recipe_kind(read_toml(path), source=""), read_toml(path), source=path)
    assert [stage.size_px for stage in found.stages] == [512, 1024]
    assert not found.train_unet
    assert found.tokenizer.image_px == 1024
    assert found.tokenizer.encoder.codebook_size == 16384


def test_stages_follow_each_other(tmp_path):
    stages = [{"steps": s, "batch_size": 2, "size_px": px} for s, px in ((2, 16), (3, 32))]
    found = recipe("vae", tmp_path, stages=stages)
    assert found.num_steps == 5
    assert [found.stage_at(step).size_px for step in range(5)] == [16, 16, 32, 32, 32]
    with pytest.raises(IndexError):
        found.stage_at(5)


def test_overrides_reach_tables_lists_and_strings():
    found = {"a": {"b": 1}, "c": [{"d": 1}, {"d": 2}]}
    changed = with_overrides(
        found,
        [
            "a.b=2.5",
            "c.1.d=[1, 2]",
            "c.0.e=true",
            "new.table.x=1e-4",
            "name=runs/some where",
            'quoted="7"',
            "empty=",
        ],
    )
    assert changed == {
        "a": {"b": 2.5},
        "c": [{"d": 1, "e": True}, {"d": [1, 2]}],
        "new": {"table": {"x": 1e-4}},
        "name": "runs/some where",
        "quoted": "7",
        "empty": "",
    }
    assert found == {"a": {"b": 1}, "c": [{"d": 1}, {"d": 2}]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a.b", "not of the form"),
        ("=1", "not of the form"),
        ("a..b=1", "not of the form"),
        ("n.b=1", "leads through no table"),
        ("c.5.d=1", "leads through no table"),
        ("c.x.d=1", "leads through no table"),
    ],
)
def test_overrides_that_lead_nowhere(override, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides({"n": 1, "c": [{}]}, [override])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "speed=fast"], "speed: Extra inputs are not permitted"),
        (["--set", "data.sourcs=[]"], "data.sourcs: Extra inputs are not permitted"),
        (["--set", "optimizer.lr=-1"], "optimizer.lr: Input should be greater than 0"),
        (["--set", "stages.1.steps=0"], "stages.1.steps: Input should be greater than 0"),
        (["--set", "stages=[]"], "stages: Tuple should have at least 1 item"),
        (["--set", "mixed_precision=fp8"], "mixed_precision: Input should be 'no', 'bf16'"),
        (["--set", "accumulate=3"], "stage 1: batch_size 2 is not a multiple of accumulate 3"),
        (["--set", "phase=sleep"], "phase is 'sleep'"),
        (["--set", "phase=3"], "phase is 3"),
        (["--set", "vae.levels=3"], "vae.levels"),
        (["--set", "data.sources.0.path=nowhere"], "nowhere: no such file or folder"),
        (["--set", "steps"], "--set steps: is not of the form a.b=value"),
    ],
)
def test_mistakes_end_the_command_with_their_name(command, words, message):
    code, err = command(*words)
    assert code == 2
    assert err.startswith("Error: ")
    assert message in err


def test_every_problem_of_a_recipe_is_listed_at_once(command):
    code, err = command("--set", "speed=1", "--set", "optimizer.lr=0", "--set", "seed=x")
    assert code == 2
    assert all(f"{name}: " in err for name in ("speed", "optimizer.lr", "seed"))
    assert "vae.toml" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phase = ", "is no TOML"),
        ("output = 'x'", "names no phase"),
        ("phase = 'vae' # \ud800", "is no TOML"),
    ],
)
def test_files_that_are_no_recipes(command, text, message):
    code, err = command(text=text)
    assert code == 2
    assert message in err


def test_an_absent_file_is_named(command, tmp_path):
    (tmp_path / "vae.toml").unlink()
    code, err = command()
    assert code == 2
    assert "vae.toml: cannot be read (No such file or directory)" in err


def test_unknown_phases_list_the_known_ones(command):
    _, err = command("--set", "phase=sleep")
    assert all(name in err for name in PHASES)


def test_an_extraction_needs_something_to_extract(command, tmp_path):
    draw_images(tmp_path / "images", count=1)
    text = f"""
    phase = "extract"
    output = "{tmp_path}/codes"
    size_px = 32
    data = {{ sources = [{{ path = "{tmp_path}/images" }}] }}
    """
    code, err = command(text=text, verb="extract")
    assert code == 2
    assert "give vq, tokenizer or vae" in err
    code, err = command("--set", "vq=a", "--set", "tokenizer=b", verb="extract")
    assert code == 2
    assert "not both" in err
    code, err = command("--set", f"vq={tmp_path}/none", verb="extract")
    assert code == 2
    assert "none" in err


def test_help_names_the_guide_and_the_phases(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["layton", "train", "--help"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0
    out = capsys.readouterr().out
    assert "docs/training.md" in out
    assert all(name in out for name in PHASES)


def test_learning_rates_warm_up_and_fall():
    plan = OptimizerRecipe(lr=1.0, warmup_steps=4, schedule="cosine", final_lr=0.2)
    rates = [learning_rate(step, 24, plan) for step in range(24)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == pytest.approx(1.0)
    assert rates[14] == pytest.approx(0.6)  # half way down: (1 + 0.2) / 2
    assert rates[23] == pytest.approx(0.2, abs=0.01)
    flat = plan.model_copy(update={"schedule": "constant"})
    assert learning_rate(23, 24, flat) == 1.0


def test_tiny_recipes_are_what_their_toml_would_say(tmp_path):
    found = tables("alignment", tmp_path)
    assert recipe("alignment", tmp_path).model_dump(mode="json")["optimizer"]["lr"] == 1e-3
    assert found["tokenizer"]["sampler"] == {"kind": "ddim", "steps": 4}
