"""Folding changes nothing but the speed; each identity on its own, then the whole decoder."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layton.errors import ConfigError
from layton.tokenizer.config import UNetConfig
from layton.tokenizer.folding import FoldedUpsample, fold_unet, zero_text_output
from layton.tokenizer.ladd import LADD


@pytest.fixture
def pair(tiny_tokenizer, tmp_path):
    """The same tokenizer plain and folded."""
    from layton import Tokenizer

    tiny_tokenizer.save_pretrained(tmp_path)
    return tiny_tokenizer, Tokenizer.from_pretrained(tmp_path).optimize_for_inference()


def test_doubling_and_convolving_is_one_transposed_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    expected = conv(F.interpolate(x, scale_factor=2, mode="nearest"))
    # the summed kernel is rounded to float32 once
    assert (FoldedUpsample(conv)(x) - expected).abs().max() < 1e-6


def test_cross_attention_over_zero_text_is_its_constant(tiny_tokenizer):
    block = tiny_tokenizer.decoder.unet.mid_block.attentions[0].transformer_blocks[0]
    x = torch.randn(2, 7, 16)
    for tokens in (1, 77):
        out = block.attn2(x, encoder_hidden_states=torch.zeros(2, tokens, 12))
        assert torch.equal(out, zero_text_output(block.attn2).expand_as(out))


def test_the_constant_holds_with_a_lora_and_with_a_value_bias():
    peft = pytest.importorskip("peft")
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    attention = Attention(16, cross_attention_dim=12, heads=2, dim_head=8, bias=True)
    out = attention(torch.randn(2, 5, 16), encoder_hidden_states=torch.zeros(2, 3, 12))
    assert (out - zero_text_output(attention)).abs().max() < 1e-6

    plain = Attention(16, cross_attention_dim=12, heads=2, dim_head=8)
    config = peft.LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    wrapped = peft.get_peft_model(plain, config)
    for name, parameter in wrapped.named_parameters():
        if "lora" in name:
            nn.init.normal_(parameter)
    out = wrapped(torch.randn(2, 5, 16), encoder_hidden_states=torch.zeros(2, 3, 12))
    bias = wrapped.base_model.model.to_out[0].base_layer.bias
    assert torch.equal(out, bias.expand_as(out))


@torch.no_grad()
def test_noise_prediction_is_unchanged(pair):
    plain, folded = pair
    latents = torch.randn(2, 4, 8, 8)
    embedding = torch.randn(2, 8, 8, 8)
    for timestep in (999, 499, 0):
        for cond_scale in (1.0, 0.8, 0.0):
            for size_px in ((64, 64), (128, 64)):
                expected, got = (
                    model.decoder(
                        latents, timestep, embedding, size_px=size_px, cond_scale=cond_scale
                    )
                    for model in (plain, folded)
                )
                assert (got - expected).abs().max() < 2e-5


def test_decoded_images_are_unchanged_and_channels_last(pair):
    plain, folded = pair
    codes = plain.encode(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert torch.equal(
        folded.encode(torch.zeros(1, 3, 64, 64)), plain.encode(torch.zeros(1, 3, 64, 64))
    )
    difference = folded.decode(codes, generator=[3, 4]) - plain.decode(codes, generator=[3, 4])
    assert difference.abs().max() < 1e-4
    conv = folded.decoder.unet.conv_in
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_compiled_images_are_the_same_and_no_timestep_compiles_anew(pair, tmp_path, monkeypatch):
    from layton import Tokenizer

    graphs = []

    def eager(graph, _):
        graphs.append(graph)
        return graph.forward

    compile_as_is = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: compile_as_is(f, backend=eager))
    _, folded = pair
    compiled = Tokenizer.from_pretrained(tmp_path).optimize_for_inference(compile=True)
    codes = torch.arange(16)[None]
    expected = folded.decode(codes, steps=1)
    assert (compiled.decode(codes, steps=1) - expected).abs().max() < 1e-4
    first = len(graphs)
    assert first >= 2  # the step and the VAE's decoder
    expected = folded.decode(codes, steps=3)
    assert (compiled.decode(codes, steps=3) - expected).abs().max() < 1e-4
    assert len(graphs) == first


def test_what_folding_drops(pair):
    plain, folded = pair
    names = {name for name, _ in folded.named_parameters()}
    assert not any("attn2" in name for name in names)
    assert folded.vae.encoder is None
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in plain.parameters())
    with pytest.raises(ConfigError, match="Save before folding"):
        folded.save_pretrained("unused")
    with pytest.raises(ConfigError, match="one timestep for the batch"):
        folded.decoder(
            torch.zeros(1, 4, 8, 8), torch.tensor([5]), torch.zeros(1, 8, 8, 8), size_px=(64, 64)
        )
    assert folded.optimize_for_inference() is folded


def test_time_projections_are_worked_out_once_a_timestep(pair, monkeypatch):
    _, folded = pair
    calls = []
    embed = LADD._embed_time
    monkeypatch.setattr(LADD, "_embed_time", lambda *a, **k: calls.append(1) or embed(*a, **k))
    codes = torch.zeros(1, 16, dtype=torch.long)
    folded.decode(codes)
    assert len(calls) == 2 * 2  # two steps, U-Net and copy
    folded.decode(codes, generator=5)
    assert len(calls) == 4


def test_condition_is_embedded_once_an_image(pair, monkeypatch):
    _, folded = pair
    calls = []
    embed = LADD.embed
    monkeypatch.setattr(LADD, "embed", lambda *a, **k: calls.append(1) or embed(*a, **k))
    folded.decode(torch.zeros(1, 16, dtype=torch.long), steps=8)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(  # no text, no micro-conditioning, attention without cross-attention
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            mid_block_type="UNetMidBlock2D",
            transformer_layers_per_block=(1, 1),
            num_attention_heads=(8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            addition_time_embed_dim=None,
        ),
        UNetConfig(  # Stable Diffusion 1's style: convolutions around the transformer
            block_out_channels=(8, 16),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            transformer_layers_per_block=(1, 1),
            num_attention_heads=(2, 2),
            cross_attention_dim=8,
            layers_per_block=1,
            norm_num_groups=4,
            use_linear_projection=False,
            addition_time_embed_dim=None,
        ),
    ],
)
@torch.no_grad()
def test_other_unets_run_and_fold(config):
    torch.manual_seed(0)
    ladd = LADD(config, condition_dim=3, condition_channels=(4, 4))
    for parameter in ladd.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    ladd.eval()
    latents, embedding = torch.randn(1, 4, 8, 8), torch.randn(1, 8, 8, 8)
    expected = ladd(latents, 300, embedding, size_px=(64, 64))
    ladd.fold()
    assert (ladd(latents, 300, embedding, size_px=(64, 64)) - expected).abs().max() < 2e-5


def test_a_part_that_cannot_be_folded_exactly_is_refused(tiny_tokenizer):
    unet = tiny_tokenizer.decoder.unet
    unet.mid_block.resnets[0].time_embedding_norm = "scale_shift"
    with pytest.raises(ConfigError, match="cannot be folded"):
        fold_unet(unet)
