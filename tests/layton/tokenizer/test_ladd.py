"""The decoder against diffusers' own forward passes, and what training needs of it."""

import pytest
import torch
from diffusers import ControlNetModel

from layton import ImageError
from layton.tokenizer.ladd import LADD, ConditionEmbedding


@torch.no_grad()
def official_prediction(ladd, latents, timesteps, condition, size, scale):
    """The same through UNet2DConditionModel.forward and ControlNetModel.forward."""
    batch = len(latents)
    text = torch.zeros(batch, 77, ladd.config.cross_attention_dim)
    added = {
        "text_embeds": torch.zeros(batch, ladd.config.pooled_text_dim),
        "time_ids": torch.tensor([[size, size, 0, 0, size, size]]).float().repeat(batch, 1),
    }
    down, mid = ladd.controlnet(
        latents,
        timesteps,
        encoder_hidden_states=text,
        controlnet_cond=condition,
        conditioning_scale=scale,
        added_cond_kwargs=added,
        return_dict=False,
    )
    return ladd.unet(
        latents,
        timesteps,
        encoder_hidden_states=text,
        added_cond_kwargs=added,
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
    ).sample


@torch.no_grad()
def test_equals_the_forward_passes_of_diffusers(tiny_tokenizer):
    ladd = tiny_tokenizer.decoder
    assert isinstance(ladd.controlnet, ControlNetModel)
    latents = torch.randn(2, 4, 8, 8)
    quantized = torch.randn(2, 4, 4, 4)
    condition = torch.nn.functional.interpolate(quantized, (8, 8), mode="nearest")
    embedding = ladd.embed(quantized, (8, 8))
    for timesteps in (torch.tensor([7, 900]), torch.tensor([499, 499])):
        expected = official_prediction(ladd, latents, timesteps, condition, 64, 0.8)
        got = ladd(latents, timesteps, embedding, size_px=(64, 64), cond_scale=0.8)
        assert (got - expected).abs().max() < 2e-5
    same = ladd(latents, 499, embedding, size_px=(64, 64), cond_scale=0.8)
    assert torch.equal(same, got)


@torch.no_grad()
def test_a_fresh_copy_steers_nothing(tiny_config):
    torch.manual_seed(0)
    ladd = LADD(tiny_config.unet, condition_dim=4, condition_channels=(4, 8)).eval()
    ladd.copy_encoder()
    assert torch.equal(ladd.controlnet.conv_in.weight, ladd.unet.conv_in.weight)
    latents = torch.randn(1, 4, 8, 8)
    embedding = ladd.embed(torch.randn(1, 4, 4, 4), (8, 8))
    assert embedding.abs().max() == 0
    steered = ladd(latents, 5, embedding, size_px=(64, 64))
    assert torch.equal(steered, ladd(latents, 5, embedding, size_px=(64, 64), cond_scale=0.0))


def test_only_the_copy_can_be_trained_and_checkpointing_gives_the_same_gradients(tiny_tokenizer):
    ladd = tiny_tokenizer.decoder.train()
    ladd.unet.requires_grad_(False)
    latents, quantized = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 4, 4)
    timesteps = torch.tensor([100, 900])

    def gradients():
        ladd.zero_grad()
        embedding = ladd.embed(quantized, (8, 8))
        ladd(latents, timesteps, embedding, size_px=(64, 64)).square().mean().backward()
        return {n: p.grad.clone() for n, p in ladd.named_parameters() if p.grad is not None}

    plain = gradients()
    trained = {n for n, _ in ladd.controlnet.named_parameters()}
    dead = {n for n in trained if ".attn2.to_" in n and "to_out.0.bias" not in n}
    dead |= {n for n in trained if ".norm2." in n and "transformer_blocks" in n}
    moving = {n.removeprefix("controlnet.") for n, g in plain.items() if g.abs().max() > 0}
    # zero text gives cross-attention nothing to learn but its bias
    assert trained - dead == moving
    ladd.enable_gradient_checkpointing()
    recomputed = gradients()
    assert plain.keys() == recomputed.keys()
    assert all(torch.allclose(plain[n], recomputed[n], atol=1e-6) for n in plain)


def test_latents_that_do_not_divide_are_named(tiny_tokenizer):
    with pytest.raises(ImageError, match=r"\(6, 8\)"):
        tiny_tokenizer.decoder(
            torch.zeros(1, 4, 6, 8), 5, torch.zeros(1, 8, 6, 8), size_px=(48, 64)
        )


def test_condition_embedding_has_no_strides():
    embedding = ConditionEmbedding(3, (4, 6, 8), 10)
    assert [tuple(conv.weight.shape[:2]) for conv in embedding.blocks] == [
        (4, 4),
        (6, 4),
        (6, 6),
        (8, 6),
    ]
    assert embedding(torch.randn(1, 3, 5, 7)).shape == (1, 10, 5, 7)
