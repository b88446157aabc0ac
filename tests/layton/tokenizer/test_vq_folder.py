"""A VQ tokenizer's folder: what is written is read; what is damaged is named."""

import json

import pytest
import torch

from layton import CheckpointError, ConfigError
from layton.tokenizer import ViTConfig, VQConfig, VQModel, read_vq, read_vq_config, write_vq

SIZES = {"z_channels": 8, "codebook_size": 32, "codebook_dim": 4}
CONV = VQConfig(
    channels=8, encoder_ch_mult=(1, 2), decoder_ch_mult=(1, 2), num_res_blocks=1,
    norm_num_groups=4, **SIZES,
)  # fmt: skip
VIT = ViTConfig(patch_size=4, width=16, depth=1, num_heads=2, **SIZES)


@pytest.mark.parametrize("config", [CONV, VIT], ids=["convolutions", "transformer"])
@pytest.mark.parametrize("l2_normalize", [True, False])
def test_both_kinds_are_read_as_they_were_written(tmp_path, config, l2_normalize):
    config = type(config)(**{
        name: getattr(config, name) for name in config.__dataclass_fields__
    } | {"l2_normalize": l2_normalize})  # fmt: skip
    torch.manual_seed(0)
    model = VQModel(config).eval()
    torch.nn.init.normal_(model.quantize.embedding.weight, std=7.0)
    torch.nn.init.normal_(model.quant_conv.weight, std=7.0)
    write_vq(model, tmp_path)
    found = read_vq(tmp_path)
    assert found.config == config == read_vq_config(tmp_path)
    assert not found.training
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = model.encode(images)
    assert torch.equal(found.encode(images), codes)
    assert len(codes.unique()) > 2
    assert torch.allclose(found.decode(codes), model.decode(codes), atol=1e-5)
    with torch.no_grad():  # one training pass gives the same pictures
        recon, quantized = found(images)
    assert torch.equal(quantized.codes, codes)
    assert torch.allclose(recon, model.decode(codes), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gan"}, "cannot be read"),
        ({"channels": "many"}, "cannot be read"),
        ({"extra": 1}, "cannot be read"),
        ({"norm_num_groups": 5}, "its sizes do not fit together"),
        ({"dropout": 2.0}, "its sizes do not fit together"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path, change, message):
    write_vq(VQModel(CONV), tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError, match=message) as raised:
        read_vq(tmp_path)
    assert raised.value.thing == str(file)


def test_weights_of_other_sizes_are_refused(tmp_path):
    write_vq(VQModel(CONV), tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_vq(tmp_path / "absent")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"z_channels": 16}))
    with pytest.raises(CheckpointError, match="does not fit"):
        read_vq(tmp_path)
