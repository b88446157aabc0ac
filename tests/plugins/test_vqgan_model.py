"""VQGAN against the numbers of the official code and against its key manifests."""

import json

import pytest
import torch
from safetensors.torch import load_file

from layton.tokenizer.folding import fold_upsampling
from layton.weights.checkpoint import load_strict, strip_prefix
from layton_bench_vqgan.model import VQGAN
from layton_bench_vqgan.variants import VARIANTS, VQGANConfig

TINY = VQGANConfig(
    channels=32,
    ch_mult=(1, 2, 1),
    num_res_blocks=1,
    attn_resolutions=(8,),
    resolution=32,
    z_channels=24,
    codebook_size=96,
    codebook_dim=12,
)


@torch.no_grad()
@pytest.mark.parametrize("fast", [False, True])
def test_codes_and_images_equal_the_official_code(shared, fast):
    golden = load_file(shared / "parity/golden/taming_vqgan.safetensors")
    model = VQGAN(TINY)
    load_strict(model, strip_prefix(golden, "state."), source="taming_vqgan")
    if fast:
        fold_upsampling(model)
        model.to(memory_format=torch.channels_last)
    z = model.features(golden["in.image"])
    assert (z - golden["out.pre_quant"]).abs().max() < 1e-4
    codes = model.encode(golden["in.image"])
    assert torch.equal(codes, golden["out.indices"])
    assert (model.quantize.lookup(codes) - golden["out.quant"]).abs().max() < 1e-6
    assert (model.decode(codes) - golden["out.decoded"]).abs().max() < 1e-4


@pytest.mark.parametrize("size", [1024, 16384])
def test_full_size_keys_are_the_published_ones(shared, size):
    path = shared / f"parity/manifests/taming_vqgan_imagenet_f16_{size}.json"
    manifest = json.loads(path.read_text())
    with torch.device("meta"):
        model = VQGAN(VARIANTS[f"vqgan-f16-{size}"])
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == manifest["params"]
    assert sum(p.numel() for p in model.parameters()) == manifest["param_count"]
