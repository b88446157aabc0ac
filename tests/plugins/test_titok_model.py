"""TiTok and TA-TiTok against the numbers of the official code and against its key manifests."""

import json

import pytest
import torch
from safetensors.torch import load_file

from layton.weights.checkpoint import load_strict, strip_prefix
from layton_bench_titok.model import TiTok
from layton_bench_titok.variants import VARIANTS, PixelConfig, TiTokConfig, ViTConfig

TINY_ENCODER = ViTConfig(width=48, layers=2, heads=4)
TINY_DECODER = ViTConfig(width=64, layers=2, heads=4)


def tiny(**sizes):
    defaults = {
        "encoder": TINY_ENCODER,
        "decoder": TINY_DECODER,
        "size_px": 32,
        "encoder_patch_px": 8,
        "decoder_patch_px": 8,
    }
    return TiTokConfig(**(defaults | sizes))


TINY = {
    "titok_legacy_vq": tiny(
        num_tokens=20,
        codebook_dim=6,
        codebook_size=80,
        l2_normalize=True,
        decoder_patch_px=4,
        pixel=PixelConfig(
            channels=32, ch_mult=(1, 1, 2), num_res_blocks=1, z_channels=20, codebook_size=96
        ),
    ),
    "titok_new_vq": tiny(num_tokens=16, codebook_dim=10, codebook_size=100),
    "titok_new_vae": tiny(num_tokens=12, codebook_dim=7),
    "tatitok_vq": tiny(
        num_tokens=16, codebook_dim=10, codebook_size=100, text_length=11, text_dim=28
    ),
}

MANIFESTS = {
    "titok-l-32": "titok_l32",
    "titok-b-64": "titok_b64",
    "titok-s-128": "titok_s128",
    "titok-bl-64": "titok_bl64_vq8k",
    "titok-bl-128": "titok_bl128_vq8k",
    "titok-sl-256": "titok_sl256_vq8k",
    "titok-vae-ll-32": "titok_ll32_vae_c16",
    "titok-vae-bl-64": "titok_bl64_vae_c16",
    "titok-vae-bl-128": "titok_bl128_vae_c16",
    "tatitok-bl-32": "tatitok_bl32_vq",
    "tatitok-bl-64": "tatitok_bl64_vq",
    "tatitok-bl-128": "tatitok_bl128_vq",
    "tatitok-vae-bl-32": "tatitok_bl32_vae",
    "tatitok-vae-bl-64": "tatitok_bl64_vae",
    "tatitok-vae-sl-128": "tatitok_sl128_vae",
}


def official(shared, name, *, fast):
    golden = load_file(shared / f"parity/golden/{name}.safetensors")
    model = TiTok(TINY[name]).eval()
    load_strict(model, strip_prefix(golden, "state."), source=name)
    if fast:
        model.optimize_for_inference()
        model.to(memory_format=torch.channels_last)
    return golden, model


def as_ours(out):
    """(B, C, 1, N) of the official code → (B, N, C)."""
    return out.squeeze(2).transpose(1, 2)


@torch.no_grad()
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", ["titok_legacy_vq", "titok_new_vq", "tatitok_vq"])
def test_codes_and_images_equal_the_official_code(shared, name, fast):
    golden, model = official(shared, name, fast=fast)
    text = golden.get("in.text_guidance")
    z = model.features(golden["in.image"])
    assert (z - as_ours(golden["out.pre_quant"])).abs().max() < 1e-4
    codes = model.encode(golden["in.image"])
    assert torch.equal(codes, golden["out.indices"].squeeze(1))
    vectors = model.quantize.lookup(codes).transpose(1, 2)
    assert (vectors - as_ours(golden["out.quant"])).abs().max() < 1e-4
    decoded = model.decode(codes, text)
    assert (decoded - golden["out.decoded"]).abs().max() < 2e-4
    if "out.pixel_code_logits" in golden:
        logits = model.decoder(vectors)
        assert (logits - golden["out.pixel_code_logits"]).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("fast", [False, True])
def test_continuous_tokens_equal_the_official_code(shared, fast):
    golden, model = official(shared, "titok_new_vae", fast=fast)
    mean, logvar = model.posterior(golden["in.image"])
    assert (mean - as_ours(golden["out.posterior_mean"])).abs().max() < 1e-4
    assert (logvar - as_ours(golden["out.posterior_logvar"])).abs().max() < 1e-4
    sample = mean + (logvar / 2).exp() * as_ours(golden["in.noise"])
    assert (sample - as_ours(golden["out.sample"])).abs().max() < 1e-4
    for tokens, out in ((mean, "out.decoded_from_mode"), (sample, "out.decoded_from_sample")):
        assert (model.decode_vectors(tokens) - golden[out]).abs().max() < 2e-4


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_full_size_keys_are_the_published_ones(shared, name):
    manifest = json.loads((shared / f"parity/manifests/{MANIFESTS[name]}.json").read_text())
    with torch.device("meta"):
        model = TiTok(VARIANTS[name])
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == manifest["params"]
    assert sum(p.numel() for p in model.parameters()) == manifest["param_count"]
