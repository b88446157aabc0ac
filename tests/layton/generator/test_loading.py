"""Transformers on disk: published layouts, our folders, and files that do not fit."""

import argparse
import json

import pytest
import torch
from gpt_models import CLASS, TEXT, random_gpt
from safetensors.torch import save_file

from layton.errors import CheckpointError, ConfigError
from layton.generator.loading import load_gpt, save_gpt


def assert_same_weights(model, other):
    wanted = other.state_dict()
    assert model.state_dict().keys() == wanted.keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[key]), key


@pytest.mark.parametrize("wrapper", ["model", "module", "state_dict", None])
@pytest.mark.parametrize("config", [CLASS, TEXT], ids=["class", "text"])
def test_published_checkpoints(tmp_path, config, wrapper):
    model = random_gpt(config)
    state = model.state_dict()
    # training checkpoints bring an average, a step count and arguments; some a rotary table
    stale = {key: torch.zeros_like(tensor) for key, tensor in state.items()}
    extra = {"ema": stale, "steps": 7, "args": argparse.Namespace(lr=1e-4)}
    table = {"freqs_cis": torch.zeros(17, 6, 2)}
    torch.save({wrapper: state | table, **extra} if wrapper else state, tmp_path / "a.pt")
    loaded = load_gpt(tmp_path / "a.pt", config=config)
    assert_same_weights(loaded, model)
    assert not loaded.training
    codes = torch.zeros(1, 2, dtype=torch.int64)
    condition = torch.tensor([1]) if config is CLASS else torch.ones(1, 3, TEXT.text_dim)
    assert torch.equal(loaded(condition, codes), model(condition, codes))


def test_safetensors_and_dtype(tmp_path):
    model = random_gpt(TEXT)
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    assert_same_weights(load_gpt(tmp_path / "a.safetensors", config=TEXT), model)
    half = load_gpt(tmp_path / "a.safetensors", config=TEXT, dtype=torch.bfloat16)
    assert_same_weights(half, model.to(torch.bfloat16))


def test_our_folders(tmp_path):
    model = random_gpt(TEXT)
    save_gpt(model, tmp_path / "gpt")
    loaded = load_gpt(tmp_path / "gpt")
    assert loaded.config == TEXT
    assert_same_weights(loaded, model)
    save_gpt(model, tmp_path / "half", dtype=torch.float16)
    size = (tmp_path / "half/model.safetensors").stat().st_size
    assert size < 0.6 * (tmp_path / "gpt/model.safetensors").stat().st_size


def test_files_that_do_not_fit(tmp_path):
    state = random_gpt(CLASS).state_dict()
    torch.save({"model": state}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_gpt(tmp_path / "a.pt", config=TEXT)
    with pytest.raises(ConfigError, match="does not say its sizes"):
        load_gpt(tmp_path / "a.pt")
    del state["norm.weight"]
    torch.save({"model": state}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"norm\.weight"):
        load_gpt(tmp_path / "b.pt", config=CLASS)
    with pytest.raises(CheckpointError, match="no such file"):
        load_gpt(tmp_path / "c.pt", config=CLASS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widht": 3}, "widht"),
        ({"dim": "wide"}, "dim"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_tokens": 15}, "not a square"),
    ],
)
def test_broken_configurations(tmp_path, change, message):
    save_gpt(random_gpt(CLASS), tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        load_gpt(tmp_path)
    file.unlink()
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_gpt(tmp_path)
