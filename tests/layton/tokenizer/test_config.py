"""Configurations: the named models, JSON there and back, and contradictions refused."""

import dataclasses
import json

import pytest

from layton import NAMED_MODELS, ConfigError, TokenizerConfig, VQConfig, named_model
from layton.tokenizer.config import config_from_json, config_to_json


def test_named_models():
    assert list(NAMED_MODELS) == [
        "layton-h",
        "layton-h-star",
        "layton-t",
        "layton-t-star",
        "layton-ladd",
        "layton-ladd-hyper",
        "layton-ladd-tlcm",
    ]
    assert named_model("layton-h-star").label == "Layton-H*"
    assert named_model("layton-l") is named_model("layton-t")
    assert named_model("layton-t").lora_scale == 0.125
    assert [m.config.sampler.steps for m in NAMED_MODELS.values()] == [1, 1, 3, 3, 25, 1, 3]
    assert named_model("layton-ladd").config.sampler.kind == "ddim"
    assert named_model("layton-ladd").lora_scale is None
    for model in NAMED_MODELS.values():
        assert model.config.num_tokens == 256
        assert [model.config.tokens_at(px) for px in (224, 256, 288)] == [196, 256, 324]
    with pytest.raises(ConfigError, match="no such model"):
        named_model("layton-x")


def test_json_there_and_back(tiny_config):
    for config in (tiny_config, TokenizerConfig()):
        assert config_from_json(config_to_json(config), source="x") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "surprise"),
        ({"image_px": "big"}, "image_px"),
        ({"sampler": {"kind": "magic", "steps": 2}}, "sampler.kind"),
        ({"sampler": {"steps": 0}}, "sampler.steps"),
        ({"encoder": {"kind": "cnn"}}, "encoder"),
        ({"image_px": 1000}, "1000 is not a multiple of 32"),
        ({"encode_px": 192}, "192 is not among"),
        ({"encode_px": 250, "encode_px_choices": [250]}, "not multiples of 16"),
    ],
)
def test_broken_files_are_named(change, message):
    content = json.loads(config_to_json(TokenizerConfig())) | change
    with pytest.raises(ConfigError, match=message):
        config_from_json(json.dumps(content), source="config.json")


def test_sizes_that_contradict_each_other_are_refused(tiny_config):
    with pytest.raises(ValueError, match="4 in the U-Net, 8 in the VAE"):
        dataclasses.replace(
            tiny_config, vae=dataclasses.replace(tiny_config.vae, latent_channels=8)
        )
    with pytest.raises(ValueError, match="channels"):
        VQConfig(channels="many")
