"""Configurations: the named models, JSON there and back, and contradictions refused."""

import dataclasses
import json

import pytest

from layton import ConfigError, TokenizerConfig, VQConfig
from layton.tokenizer.config import config_from_json, config_to_json


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
