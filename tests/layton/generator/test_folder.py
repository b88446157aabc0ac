"""generator.json: what is written comes back, and what cannot be is named."""

import json

import pytest
from gpt_models import TEXT, random_gpt

from layton.errors import ConfigError
from layton.generator.config import Guidance, Sampling
from layton.generator.folder import (
    GeneratorSettings,
    read_generator,
    read_gpt_config,
    write_generator,
)
from layton.generator.loading import save_gpt
from layton.generator.words import WordEncoder, WordsConfig, load_words
from layton.training.phases.gpt import GPTPhase, Recipe

SETTINGS = {
    "tokenizer": "layton-small",
    "cfg_scale": 2.5,
    "temperature": 0.9,
    "top_k": 30,
    "top_p": 0.95,
    "codebook": "0123456789abcdef",
}


@pytest.fixture
def folder(tmp_path):
    save_gpt(random_gpt(TEXT), tmp_path)
    write_generator(GeneratorSettings(**SETTINGS), tmp_path)
    return tmp_path


def test_there_and_back(folder):
    assert json.loads((folder / "generator.json").read_text()) == SETTINGS
    found = read_generator(folder)
    assert found.gpt == read_gpt_config(folder) == TEXT
    assert (found.tokenizer, found.codebook) == ("layton-small", "0123456789abcdef")
    assert found.guidance == Guidance(scale=2.5)
    assert found.sampling == Sampling(temperature=0.9, top_k=30, top_p=0.95)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generator.json",
        "model.safetensors",
    ]


def test_what_is_left_out_is_off(folder):
    (folder / "generator.json").write_text('{"tokenizer": "layton-small", "cfg_scale": 3}')
    found = read_generator(folder)
    assert (found.guidance, found.sampling) == (Guidance(scale=3.0), Sampling())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer": 3}, "tokenizer"),
        ({"tokeniser": "x"}, "tokeniser"),
        ({"cfg_scale": -1}, "-1.0 is not a scale"),
        ({"temperature": -0.1}, "temperature: -0.1 is below 0"),
        ({"top_k": -1}, "top_k: -1 is below 0"),
        ({"top_p": 0}, r"top_p: 0.0 is not in \(0, 1\]"),
    ],
)
def test_what_cannot_be(folder, change, message):
    (folder / "generator.json").write_text(json.dumps(SETTINGS | change))
    with pytest.raises(ConfigError, match=message) as caught:
        read_generator(folder)
    assert "generator.json" in caught.value.thing


@pytest.mark.parametrize("name", ["generator.json", "config.json"])
@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_missing_and_broken_files(folder, name, text):
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        read_generator(folder)


def recipe(**tables):
    """A recipe of phase `gpt` with the sizes TEXT."""
    sizes = {f: getattr(TEXT, f) for f in type(TEXT).__dataclass_fields__}
    return Recipe.model_validate(
        {
            "phase": "gpt",
            "output": "run",
            "stages": [{"steps": 1, "batch_size": 1, "size_px": 16}],
            "data": {"sources": [{"path": "codes", "kind": "extracted"}]},
            "gpt": sizes,
            **tables,
        }
    )


def test_training_exports_what_its_recipe_says(tmp_path):
    words = WordEncoder(WordsConfig(words=("a", "cat"), width=TEXT.text_dim, num_heads=2))
    phase = GPTPhase(recipe(generator=SETTINGS), random_gpt(TEXT), words)
    phase.export(tmp_path / "whole")
    assert read_generator(tmp_path / "whole").gpt == TEXT
    assert read_generator(tmp_path / "whole").tokenizer == "layton-small"
    assert load_words(tmp_path / "whole/text").config.words == ("a", "cat")
    GPTPhase(recipe(), random_gpt(TEXT), None).export(tmp_path / "bare")
    assert not (tmp_path / "bare/generator.json").exists()


def test_a_recipe_with_impossible_settings_is_refused():
    with pytest.raises(ValueError, match="-1 is below 0"):
        recipe(generator=SETTINGS | {"top_k": -1})
