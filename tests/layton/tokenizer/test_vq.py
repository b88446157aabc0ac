"""The VQ tokenizer against the numbers of the official code and against its key manifests."""

import json

import pytest
import torch
from safetensors.torch import load_file

from layton.errors import CodesError, ImageError
from layton.tokenizer.config import VQ_8, VQ_16, VQConfig
from layton.tokenizer.vq_model import VQModel
from layton.weights.checkpoint import load_strict, strip_prefix

TINY = VQConfig(
    channels=32,
    encoder_ch_mult=(1, 2, 1),
    decoder_ch_mult=(1, 2, 1),
    num_res_blocks=1,
    z_channels=40,
    codebook_size=128,
)


@pytest.fixture(scope="module")
def golden(shared):
    return load_file(shared / "parity/golden/llamagen_vq.safetensors")


@pytest.fixture(scope="module")
def golden_model(golden):
    model = VQModel(TINY)
    load_strict(model, strip_prefix(golden, "state."), source="golden")
    return model.eval()


@torch.no_grad()
def test_codes_and_images_equal_the_official_code(golden, golden_model):
    images = golden["in.image"]
    z = golden_model.features(images)
    assert (z - golden["out.pre_quant"]).abs().max() < 1e-5
    codes = golden_model.encode(images)
    assert torch.equal(codes, golden["out.indices"])
    assert (golden_model.quantize.lookup(codes) - golden["out.quant_lookup"]).abs().max() < 1e-6
    quantized = golden_model.quantize(z).quantized
    assert (quantized - golden["out.quant_straight_through"]).abs().max() < 1e-6
    decoded = golden_model.decode(codes)
    assert (decoded - golden["out.decoded"]).abs().max() < 2e-5
    rounded = (127.5 * decoded + 128).clamp(0, 255).to(torch.uint8)
    difference = (rounded.int() - golden["out.decoded_uint8"].int()).abs()
    assert difference.max() <= 1
    assert (difference == 0).float().mean() > 0.999


@pytest.mark.parametrize(("name", "config"), [("vq16", VQ_16), ("vq8", VQ_8)])
def test_full_size_keys_are_the_published_ones(shared, name, config):
    manifest = json.loads((shared / f"parity/manifests/llamagen_{name}.json").read_text())
    with torch.device("meta"):
        model = VQModel(config)
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == manifest["params"]
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == manifest["param_count_without_buffers"]


@pytest.mark.parametrize(("config", "parameters"), [(VQ_16, 71_883_403), (VQ_8, 70_109_835)])
def test_parameter_counts_of_the_published_models(config, parameters):
    with torch.device("meta"):
        model = VQModel(config)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_any_size_of_the_right_multiple_and_no_other():
    torch.manual_seed(0)
    model = VQModel(TINY).eval()
    assert model.encode(torch.zeros(2, 3, 16, 24)).shape == (2, 4, 6)
    with pytest.raises(ImageError, match="18×16 px is not a multiple of 4"):
        model.encode(torch.zeros(1, 3, 18, 16))
    with pytest.raises(ImageError, match="uint8"):
        model.encode(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(CodesError, match="0 … 128"):
        model.decode(torch.tensor([[[0, 128]]]))


def test_gradient_passes_straight_through_to_the_encoder():
    torch.manual_seed(0)
    model = VQModel(TINY)
    reconstruction, result = model(torch.rand(1, 3, 8, 8))
    reconstruction.square().mean().backward()
    assert result.quantized.shape == result.z.shape == (1, 8, 2, 2)
    assert model.encoder.conv_in.weight.grad.abs().sum() > 0
    assert model.quantize.embedding.weight.grad is None
