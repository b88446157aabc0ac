"""The whole tokenizer against the numbers and the key manifest of the official code.

Golden: computed with Alpha-X-95/LaCToK at commit 845fb4a, random weights, recorded noise.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from layton.errors import CheckpointError
from layton.tokenizer import named_model
from layton.tokenizer.config import (
    NoiseConfig,
    SamplerConfig,
    TokenizerConfig,
    UNetConfig,
    VAEConfig,
    VQConfig,
)
from layton.tokenizer.consistency import NoiseSchedule, consistency_timesteps
from layton.tokenizer.model import Tokenizer
from layton.tokenizer.official import official_layout
from layton.weights.checkpoint import strip_prefix

TINY = TokenizerConfig(
    encoder=VQConfig(
        channels=32,
        num_res_blocks=1,
        encoder_ch_mult=(1, 1),
        decoder_ch_mult=(1, 1),
        z_channels=24,
        codebook_size=64,
    ),
    unet=UNetConfig(
        block_out_channels=(4, 8, 8),
        num_attention_heads=(1, 2, 4),
        transformer_layers_per_block=(1, 1, 1),
        layers_per_block=1,
        norm_num_groups=2,
        addition_time_embed_dim=16,
    ),
    vae=VAEConfig(block_out_channels=(4, 8, 8, 16), layers_per_block=1, norm_num_groups=4),
    sampler=SamplerConfig(steps=3, cond_scale=0.8),
    image_px=64,
    encode_px=16,
    encode_px_choices=(16,),
    condition_channels=(8, 12, 16, 24),
)


@pytest.fixture(scope="module")
def golden(shared):
    return load_file(shared / "parity/golden/layton_tokenizer.safetensors")


@pytest.fixture(scope="module")
def official_file(golden, tmp_path_factory):
    # as released: a training checkpoint with the state dict under "model"
    path = tmp_path_factory.mktemp("official") / "checkpoint.pth"
    # the recorded LoRA has rank 4 and alpha 8, PEFT's default
    torch.save({"model": strip_prefix(golden, "state."), "epoch": 3}, path)
    return path


@pytest.fixture(scope="module", params=["plain", "folded"])
def tokenizer(official_file, request):
    tokenizer = Tokenizer.from_pretrained(official_file, config=TINY)
    return tokenizer.optimize_for_inference() if request.param == "folded" else tokenizer


def close(ours, official, absolute, relative=0.0):
    limit = absolute + relative * official.abs()
    assert ours.shape == official.shape
    assert ((ours - official).abs() <= limit).all(), (ours - official).abs().max()


def test_codes_are_equal(golden, tokenizer):
    images = golden["in.image"]
    close(tokenizer.features(images), golden["out.pre_quant"], 1e-5)
    codes = tokenizer.encode(images)
    assert torch.equal(codes, golden["out.indices"].flatten(1))
    close(tokenizer.quantized(codes), golden["out.quant"], 1e-6)


@torch.no_grad()
def test_one_prediction_is_equal(golden, tokenizer):
    embedding = tokenizer.decoder.embed(golden["out.quant"], (8, 8))
    close(embedding, golden["out.cond_embedding"], 1e-6)
    for name, scale in [("08", 0.8), ("10", 1.0), ("00", 0.0)]:
        noise_pred = tokenizer.decoder(
            golden["in.latents"],
            int(golden["in.timestep"]),
            embedding,
            size_px=(64, 64),
            cond_scale=scale,
        )
        close(noise_pred, golden[f"out.noise_pred_cond{name}"], 5e-5)


def test_sampled_latents_and_image_are_equal(golden, tokenizer):
    recorded = iter([golden["in.init_noise"], *golden["in.step_noise"]])
    latents = tokenizer.decode_latents(
        golden["out.indices"].flatten(1), draw_noise=lambda: next(recorded)
    )
    assert len(list(recorded)) == 1  # the noise after the last call is never drawn
    close(latents, golden["out.latents_final"], 2e-3, 1e-3)
    image = tokenizer.latents_to_images(golden["out.latents_final"][:1])
    close(image, golden["out.vae_decoded"], 1e-4)
    uint8 = (image / 2 + 0.5).clamp(0, 1).mul(255).to(torch.uint8).permute(0, 2, 3, 1)
    assert (uint8.int() - golden["out.image_uint8"].int()).abs().max() <= 1


def test_schedule_is_equal(golden):
    schedule = NoiseSchedule(NoiseConfig())
    close(schedule.alphas_cumprod, golden["out.alphas_cumprod"], 1e-7)
    assert consistency_timesteps(3) == tuple(golden["out.timesteps"].tolist())


def test_every_official_key_is_accounted_for(official_file, golden, tmp_path):
    state = strip_prefix(golden, "state.")
    state.pop("decoder.unet.base_model.model.conv_out.bias")
    state["decoder.unet.base_model.model.surprise.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "changed.safetensors")
    with pytest.raises(CheckpointError) as caught:
        Tokenizer.from_pretrained(tmp_path / "changed.safetensors", config=TINY)
    assert "1 missing from the file:\n    decoder.unet.base_model.model.conv_out.bias" in str(
        caught.value
    )
    assert "1 not in the model:\n    decoder.unet.base_model.model.surprise.weight" in str(
        caught.value
    )
    with pytest.raises(CheckpointError, match="of another shape"):
        Tokenizer.from_pretrained(official_file, name="layton-t")


def test_full_size_keys_are_the_released_ones(shared):
    manifest = json.loads((shared / "parity/manifests/layton_tokenizer_1024.json").read_text())
    with torch.device("meta"):
        model = Tokenizer(named_model("layton-t").config)
    layout = official_layout(model.state_dict(), rank=64)
    assert {key: list(tensor.shape) for key, tensor in layout.items()} == manifest["params"]
    counts = {"decoder.unet": 2_567_463_684, "decoder.controlnet": 1_251_010_256, "vae": 83_653_863}
    for part, count in counts.items():
        assert sum(p.numel() for p in model.get_submodule(part).parameters()) == count
