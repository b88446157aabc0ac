"""The published models by name."""

import pytest

from layton import NAMED_MODELS, ConfigError, named_model
from layton.tokenizer.named import PUBLISHED, published_in


def test_named_models():
    assert {name: model.config.sampler.steps for name, model in NAMED_MODELS.items()} == {
        "layton-h": 1,
        "layton-h-star": 1,
        "layton-t": 3,
        "layton-t-2steps": 2,
        "layton-t-star": 3,
        "layton-t-star-2steps": 2,
        "layton-ladd": 25,
        "layton-ladd-hyper": 1,
        "layton-ladd-tlcm": 3,
    }
    assert named_model("layton-h-star").label == "Layton-H*"
    assert named_model("layton-l") is named_model("layton-t")
    assert named_model("layton-t").lora_scale == 0.125
    assert named_model("layton-ladd").config.sampler.kind == "ddim"
    assert named_model("layton-ladd").lora_scale is None
    for model in NAMED_MODELS.values():
        assert model.config.num_tokens == 256
        assert [model.config.tokens_at(px) for px in (224, 256, 288)] == [196, 256, 324]
    assert len({model.label for model in NAMED_MODELS.values()}) == len(NAMED_MODELS)
    with pytest.raises(ConfigError, match="no such model"):
        named_model("layton-x")


def test_only_one_tokenizer_is_published():
    published = [name for name, model in NAMED_MODELS.items() if model.file]
    assert published == [PUBLISHED, f"{PUBLISHED}-2steps"]
    assert NAMED_MODELS[PUBLISHED].file == ("OPPOer/LaCTok", "LaCTok-T.pth")
    assert published_in("OPPOer/LaCTok") == PUBLISHED
    assert published_in("", "LaCTok-T.pth") == PUBLISHED
    assert published_in("", "tokenizer.pth") is None
    assert published_in("someone/LaCTok") is None
