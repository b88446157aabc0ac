"""The continuous autoencoders: cards, every published form, diffusers and TAESD as references."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from named_weights import drawn_for, fill_by_name, golden_images, golden_numbers, sampled
from PIL import Image
from safetensors.torch import load_file, save_file

import layton_bench_autoencoders as plugin
from layton.weights.fingerprints import recognise
from layton_bench import LoadContext, Tokenizer, UserError
from layton_bench_autoencoders.build import build
from layton_bench_autoencoders.variants import VARIANTS

MODELS, WEIGHTS = {}, {}
plugin.layton_bench_register_models(lambda spec: MODELS.setdefault(spec.card.name, spec))
plugin.layton_bench_register_weights(lambda entry: WEIGHTS.setdefault(entry.name, entry))

TINY_KL = {"channels": (32, 64), "num_res_blocks": 1, "latent_channels": 3, "norm_num_groups": 8}


def load(name, path, dtype="float32"):
    context = LoadContext(device="cpu", dtype=dtype, weights=lambda _: path)
    return MODELS[name].load(context)


def meta(name):
    with torch.device("meta"):
        return build(VARIANTS[name])


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_card_is_true(name):
    card, model = MODELS[name].card, meta(name)
    sizes = {key: p.numel() for key, p in model.named_parameters()}
    encoder = sum(n for key, n in sizes.items() if key.startswith(("encoder.", "quant_conv.")))
    assert card.encoder_params == encoder
    assert card.decoder_params == sum(sizes.values()) - encoder
    assert card.bits_per_image is None
    assert WEIGHTS[name].used_by == (name,)
    assert name in recognise(model.state_dict())


def test_keys_are_the_published_ones(shared):
    manifest = json.loads((shared / "parity/manifests/sdxl_vae.json").read_text())
    for name in ("sdxl-vae", "sd-vae"):
        shapes = {key: list(p.shape) for key, p in meta(name).state_dict().items()}
        assert shapes == manifest["params"]


@pytest.fixture
def tiny_kl(monkeypatch):
    """An AutoencoderKL small enough to save, in place of the SDXL one."""
    config = VARIANTS["sdxl-vae"].__class__(
        **{
            field: getattr(VARIANTS["sdxl-vae"], field)
            for field in VARIANTS["sdxl-vae"].__slots__
            if field not in TINY_KL
        },
        **TINY_KL,
    )
    monkeypatch.setattr(plugin, "VARIANTS", {"sdxl-vae": config})
    return fill_by_name(build(config))


def in_old_names(state):
    """As AutoencoderKL spelt attention before diffusers 0.18."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", r"to_out\.0": "proj_attn"}
    for new, name in old.items():
        state = {re.sub(rf"\.{new}\.", f".{name}.", key): value for key, value in state.items()}
    return state


@torch.inference_mode()
@pytest.mark.parametrize("names", ["new", "old"])
def test_kl_folder_equals_diffusers(tmp_path, tiny_kl, names):
    tiny_kl.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    if names == "old":
        state = in_old_names(load_file(file))
        assert "encoder.mid_block.attentions.0.proj_attn.weight" in state
        save_file(state, file)
    tokenizer = load("sdxl-vae", tmp_path)
    assert isinstance(tokenizer, Tokenizer)
    reference = AutoencoderKL.from_pretrained(tmp_path)
    images = golden_images()
    codes = tokenizer.encode(images)
    assert codes.latents.shape == (2, 3, 8, 8)
    assert codes.bits() == (3 * 8 * 8 * 32.0,) * 2
    assert (codes.latents - reference.encode(images).latent_dist.mean).abs().max() < 1e-5
    decoded = tokenizer.decode(codes, [0, 1])
    expected = reference.decode(codes.latents).sample.clamp(-1, 1)
    # folded upsampling and channels_last add in another order
    assert (decoded - expected).abs().max() < 1e-5


@torch.inference_mode()
def test_float16_is_avoided_where_it_overflows(tmp_path, tiny_kl):
    tiny_kl.save_pretrained(tmp_path)
    assert load("sdxl-vae", tmp_path, "float16").dtype == torch.float32
    assert load("sdxl-vae", tmp_path, "bfloat16").encode(golden_images()).bits()[0] == 192 * 16


def official_pair(name, folder):
    """The TAESD family's original files, with weights drawn from the original names."""
    parts = {"encoder": {}, "decoder": {}}
    for key, parameter in meta(name).named_parameters():
        part, _, index, rest = key.split(".", 3)
        original = f"{int(index) + (part == 'decoder')}.{rest}"
        parts[part][original] = drawn_for(original, parameter.shape)
    for part, state in parts.items():
        torch.save(state, folder / f"{name}_{part}.pth")


@torch.inference_mode()
@pytest.mark.parametrize("name", ["taesd", "taef1", "taef2"])
def test_the_original_pair_equals_the_official_code(tmp_path, name):
    official_pair(name, tmp_path)
    tokenizer = load(name, tmp_path)
    expected = golden_numbers(name)
    codes = tokenizer.encode(golden_images())
    step = codes.latents.numel() // 32
    assert codes.latents.flatten()[::step].tolist() == pytest.approx(expected["latents"], abs=2e-5)
    image = torch.tensor(expected["image"]).clamp(-1, 1).tolist()
    assert sampled(tokenizer.decode(codes, [0, 1])) == pytest.approx(image, abs=2e-5)


@torch.inference_mode()
def test_tiny_folder_equals_diffusers(tmp_path):
    reference = fill_by_name(AutoencoderTiny())
    reference.save_pretrained(tmp_path)
    tokenizer = load("taesdxl", tmp_path)
    codes = tokenizer.encode(golden_images())
    assert (codes.latents - reference.encode(golden_images()).latents).abs().max() < 1e-6
    expected = reference.decode(codes.latents).sample.clamp(-1, 1)
    assert (tokenizer.decode(codes, [0, 1]) - expected).abs().max() < 1e-5


def test_wrong_and_half_files_are_named(tmp_path):
    official_pair("taesd", tmp_path)
    with pytest.raises(UserError) as caught:
        load("taef1", tmp_path)
    assert "encoder.layers.14.weight: file (4, 64, 3, 3), model (16, 64, 3, 3)" in str(caught.value)
    assert caught.value.remedy == "These are the keys and shapes of taesd or taesdxl."
    (tmp_path / "taesd_decoder.pth").unlink()
    with pytest.raises(UserError, match=r"has no file \*_decoder\.pth"):
        load("taesd", tmp_path)


def coco(shared, size, count):
    for path in sorted((shared / "data/coco-mini").rglob("*.jpg"))[:count]:
        image = Image.open(path).convert("RGB")
        scale = size / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        box = (left, top, left + size, top + size)
        image = image.resize((width, height), Image.Resampling.BICUBIC).crop(box)
        yield torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


@torch.inference_mode()
@pytest.mark.parametrize(("size", "count", "expected"), [(256, 6, 30.9049), (1024, 1, 37.0186)])
def test_taef2s_real_weights_reconstruct_photographs(shared, size, count, expected):
    for file in WEIGHTS["taef2"].files:
        assert (shared / "weights/taef2" / file.path).stat().st_size == file.size_bytes
    tokenizer = load("taef2", shared / "weights/taef2")
    psnr = []
    for images in coco(shared, size, count):
        decoded = tokenizer.decode(tokenizer.encode(images), [0])
        psnr.append(10 * np.log10(4 / float((decoded - images).square().mean())))
    assert np.mean(psnr) > 25
    # what the official code gives on the same images
    assert np.mean(psnr) == pytest.approx(expected, abs=1e-3)
