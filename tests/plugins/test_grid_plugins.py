"""The VQGAN and LlamaGen plugins: cards, published files in every form, wrong files, a run."""

import math
from importlib import import_module

import pytest
import torch
from named_weights import fill_by_name, golden_images
from safetensors.torch import save_file

from layton.tokenizer.config import VQ_8, VQ_16
from layton.tokenizer.vq_model import VQModel
from layton.weights.fingerprints import recognise
from layton_bench import GridTokenizer, LoadContext, UserError
from layton_bench_vqgan.model import VQGAN
from layton_bench_vqgan.variants import VARIANTS

BUILD = {name: (lambda config=config: VQGAN(config)) for name, config in VARIANTS.items()}
BUILD |= {
    "llamagen-16": lambda: VQModel(VQ_16),
    "llamagen-8": lambda: VQModel(VQ_8),
    "llamagen-16-t2i": lambda: VQModel(VQ_16),
}


def registered(hook):
    found = {}
    for plugin in ("layton_bench_vqgan", "layton_bench_llamagen"):
        getattr(import_module(plugin), hook)(
            register=lambda entry: found.setdefault(getattr(entry, "card", entry).name, entry)
        )
    return found


MODELS = {  # the generators beside them have tests of their own
    name: spec
    for name, spec in registered("layton_bench_register_models").items()
    if spec.card.kind == "tokenizer"
}
WEIGHTS = {
    name: entry
    for name, entry in registered("layton_bench_register_weights").items()
    if set(entry.used_by) & MODELS.keys()
}


def meta_model(name):
    with torch.device("meta"):
        return BUILD[name]()


def context(path, dtype="float32"):
    return LoadContext(device="cpu", dtype=dtype, weights=lambda name: path)


def test_every_model_has_a_card_and_its_weights():
    assert sorted(MODELS) == sorted(BUILD)
    assert WEIGHTS.keys() == MODELS.keys()
    for name, spec in MODELS.items():
        assert spec.card.weights == (name,)
        assert WEIGHTS[name].used_by == (name,)


@pytest.mark.parametrize("name", sorted(BUILD))
def test_the_card_is_true(name):
    card, model = MODELS[name].card, meta_model(name)
    encodes = ("encoder.", "quant_conv.", "quantize.proj.")
    sizes = {key: p.numel() for key, p in model.named_parameters()}
    encoder = sum(size for key, size in sizes.items() if key.startswith(encodes))
    assert card.encoder_params == encoder
    assert card.decoder_params == sum(sizes.values()) - encoder
    assert card.codebook_size == model.config.codebook_size
    assert card.num_tokens == (256 // model.config.downsample_factor) ** 2
    assert card.bits_per_image == card.num_tokens * math.log2(card.codebook_size)
    assert name in recognise(model.state_dict())


def test_llamagen_spends_448_bytes_an_image():
    assert MODELS["llamagen-16"].card.bits_per_image == 8 * 448


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model small enough to save, in place of a published one of the same code path."""
    config = VARIANTS["vqgan-f16-1024"]
    small = type(config)(
        channels=32,
        ch_mult=(1, 1, 1),
        num_res_blocks=1,
        attn_resolutions=(),
        codebook_size=40,
        codebook_dim=5,
        z_channels=5,
    )
    return small, fill_by_name(VQGAN(small))


@pytest.mark.parametrize("form", ["lightning", "plain", "safetensors"])
def test_published_forms_load_and_decode(tmp_path, monkeypatch, tiny, form):
    config, reference = tiny
    monkeypatch.setattr("layton_bench_vqgan.VARIANTS", {"vqgan-f16-1024": config})
    state = reference.state_dict()
    path = tmp_path / "last.ckpt"
    if form == "lightning":
        loss = {"loss.discriminator.main.0.weight": torch.ones(1)}
        torch.save({"state_dict": state | loss, "global_step": 7}, path)
    elif form == "plain":
        torch.save(state, path)
    else:
        save_file(state, path)
    tokenizer = MODELS["vqgan-f16-1024"].load(context(path))
    assert isinstance(tokenizer, GridTokenizer)
    images = golden_images()
    with torch.inference_mode():
        codes = tokenizer.encode(images)
        decoded = tokenizer.decode(codes, [0, 1])
        expected = reference.decode(reference.encode(images)).clamp(-1, 1)
    assert codes.codes.shape == (2, 16)
    assert codes.codebook_size == 40
    assert codes.size_px == (16, 16)
    assert torch.equal(codes.codes, reference.encode(images).flatten(1))
    # folded upsampling and channels_last add in another order
    assert (decoded - expected).abs().max() < 1e-5
    assert decoded.dtype == torch.float32


def test_a_wrong_file_is_named(tmp_path):
    path = tmp_path / "vq_ds16_c2i.pt"
    state = {
        key: torch.zeros(1).expand(p.shape)
        for key, p in meta_model("llamagen-8").state_dict().items()
    }
    torch.save({"model": state}, path)
    with pytest.raises(UserError) as caught:
        MODELS["llamagen-16"].load(context(path))
    assert caught.value.thing == str(path)
    assert (
        "missing from the file:\n    decoder.conv_blocks.3.upsample.conv.bias"
        in caught.value.reason
    )
    assert caught.value.remedy == "These are the keys and shapes of llamagen-8."


@torch.inference_mode()
def test_half_precision_is_close(tmp_path, monkeypatch, tiny):
    config, reference = tiny
    monkeypatch.setattr("layton_bench_vqgan.VARIANTS", {"vqgan-f16-1024": config})
    save_file(reference.state_dict(), tmp_path / "last.ckpt")
    half = MODELS["vqgan-f16-1024"].load(context(tmp_path / "last.ckpt", "bfloat16"))
    codes = half.encode(golden_images())
    assert codes.codes.dtype == torch.int64
    decoded = half.decode(codes, [0, 1])
    assert decoded.dtype == torch.float32
    expected = reference.decode(codes.codes.view(2, 4, 4)).clamp(-1, 1)
    # bfloat16 keeps eight bits
    assert (decoded - expected).abs().mean() < 0.02
