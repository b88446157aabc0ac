"""The TiTok plugin: cards, the Hugging Face layout, continuous and text-aware models, errors."""

import json
import math
import re
import shutil

import pytest
import torch
import torch.nn.functional as F
from named_weights import fill_by_name, golden_images
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

import layton_bench_titok as plugin
from layton.errors import ImageError
from layton.weights.fingerprints import recognise
from layton_bench import Codes, LoadContext, Tokenizer, UserError
from layton_bench.registry.plugins import Plugins
from layton_bench_titok.model import TiTok
from layton_bench_titok.text import text_features
from layton_bench_titok.variants import VARIANTS, PixelConfig, TiTokConfig, ViTConfig

MODELS, WEIGHTS = {}, {}
plugin.layton_bench_register_models(lambda spec: MODELS.setdefault(spec.card.name, spec))
plugin.layton_bench_register_weights(lambda entry: WEIGHTS.setdefault(entry.name, entry))

SIZES = {
    "encoder": ViTConfig(width=12, layers=2, heads=2),
    "decoder": ViTConfig(width=16, layers=2, heads=2),
    "num_tokens": 5,
    "codebook_dim": 3,
    "size_px": 16,
    "encoder_patch_px": 4,
    "decoder_patch_px": 4,
}
PIXEL = PixelConfig(channels=32, ch_mult=(1, 2), num_res_blocks=1, z_channels=6, codebook_size=24)
TINY = {
    "titok-l-32": TiTokConfig(
        **(SIZES | {"decoder_patch_px": 2}), codebook_size=40, l2_normalize=True, pixel=PIXEL
    ),
    "titok-vae-ll-32": TiTokConfig(**SIZES),
    "tatitok-bl-32": TiTokConfig(**SIZES, codebook_size=40, text_length=6, text_dim=8),
}


def test_every_model_has_a_card_and_its_weights():
    assert sorted(MODELS) == sorted(VARIANTS)
    for name, spec in MODELS.items():
        assert WEIGHTS[name].used_by == (name,)
        text = ("clip-vit-l-14-336",) if VARIANTS[name].text_length else ()
        assert spec.card.weights == (name, *text)


def test_the_text_encoder_is_registered_with_its_tokenizer():
    entry = Plugins().weights["clip-vit-l-14-336"]
    assert {file.path for file in entry.files} >= {"config.json", "vocab.json", "merges.txt"}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_card_is_true(name):
    card, config = MODELS[name].card, VARIANTS[name]
    with torch.device("meta"):
        model = TiTok(config)
    sizes = {key: p.numel() for key, p in model.named_parameters()}
    encoder = sum(n for key, n in sizes.items() if key.startswith(("encoder.", "latent_tokens")))
    assert card.encoder_params == encoder
    assert card.decoder_params == sum(sizes.values()) - encoder
    assert card.num_tokens == (config.num_tokens if config.codebook_size else None)
    bits = config.codebook_size and config.num_tokens * math.log2(config.codebook_size)
    assert card.bits_per_image == bits
    # the number in a name is that of its tokens
    assert int(re.findall(r"\d+", name)[-1]) == config.num_tokens
    assert recognise(model.state_dict()) == (name,)


def test_known_figures():
    assert MODELS["titok-l-32"].card.bits_per_image == 32 * 12
    assert MODELS["titok-sl-256"].card.bits_per_image == 256 * 13
    assert MODELS["tatitok-vae-bl-32"].card.title == "TA-TiTok-VAE-BL-32"
    assert "posterior means" in MODELS["titok-vae-bl-64"].card.notes
    assert "A photo of a {class}." in MODELS["tatitok-bl-128"].card.notes
    assert MODELS["tatitok-bl-128"].options == {"caption": "A photo."}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A tiny model in the published layout, loaded through its spec."""

    def install(name, *, dtype="float32", **options):
        reference = fill_by_name(TiTok(TINY[name]))
        save_file(reference.state_dict(), tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text("{}")
        monkeypatch.setattr(plugin, "VARIANTS", TINY)
        folders = {name: tmp_path}
        if "caption" in options:
            folders["clip-vit-l-14-336"] = clip_folder(tmp_path / "clip")
        context = LoadContext(
            device="cpu", dtype=dtype, weights=folders.__getitem__, options=options
        )
        return reference, MODELS[name].load(context)

    return install


@torch.inference_mode()
def test_two_stage_model(installed):
    reference, tokenizer = installed("titok-l-32")
    assert isinstance(tokenizer, Tokenizer)
    codes = tokenizer.encode(golden_images())
    assert codes.codes.shape == (2, 5)
    assert codes.bits() == (5 * math.log2(40),) * 2
    expected = 2 * reference.decode(reference.encode((golden_images() + 1) / 2)) - 1
    decoded = tokenizer.decode(codes, [0, 1])
    # packed projections, folded upsampling and channels_last add in another order
    assert (decoded - expected.clamp(-1, 1)).abs().max() < 2e-5
    # a sample does not depend on its batch mates
    alone = tokenizer.decode(tokenizer.encode(golden_images()[1:]), [1])
    assert (decoded[1:] - alone).abs().max() < 1e-5


@torch.inference_mode()
def test_continuous_model_gives_the_mode(installed):
    reference, tokenizer = installed("titok-vae-ll-32")
    codes = tokenizer.encode(golden_images())
    mean, _ = reference.posterior((golden_images() + 1) / 2)
    assert (codes.latents - mean).abs().max() < 1e-5
    assert codes.bits() == (5 * 3 * 32.0,) * 2
    decoded = tokenizer.decode(codes, [0, 1])
    assert decoded.shape == (2, 3, 16, 16)
    assert (decoded - (2 * reference.decode_vectors(mean) - 1).clamp(-1, 1)).abs().max() < 1e-5


VOCABULARY = ["<|startoftext|>", "<|endoftext|>", "!", "a</w>", "p", "h", "o", "t", "o</w>"]


def clip_folder(folder):
    """A CLIP text model of width 8 with nine tokens, as transformers saves it."""
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=6,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    CLIPTextModel(config).save_pretrained(folder)
    ids = {token: i for i, token in enumerate(VOCABULARY)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def clip_by_hand(folder, ids):
    """The text tower written out: pre-norm, causal, quick GELU, normed at the end."""
    state = CLIPTextModel.from_pretrained(folder).state_dict()
    state = {key.removeprefix("text_model."): value for key, value in state.items()}

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, (8,), state[f"{name}.weight"], state[f"{name}.bias"])

    x = state["embeddings.token_embedding.weight"][ids]
    x = x + state["embeddings.position_embedding.weight"]
    blocked = torch.ones(6, 6).triu(1).bool()
    for i in range(2):
        at = f"encoder.layers.{i}"
        y = norm(x, f"{at}.layer_norm1")
        q, k, v = (
            linear(y, f"{at}.self_attn.{p}_proj").view(6, 2, 4).transpose(0, 1) for p in "qkv"
        )
        scores = (q @ k.transpose(1, 2) / 2).masked_fill(blocked, -torch.inf)
        y = (scores.softmax(2) @ v).transpose(0, 1).reshape(6, 8)
        x = x + linear(y, f"{at}.self_attn.out_proj")
        y = linear(norm(x, f"{at}.layer_norm2"), f"{at}.mlp.fc1")
        x = x + linear(y * torch.sigmoid(1.702 * y), f"{at}.mlp.fc2")
    return norm(x, "final_layer_norm")


@torch.inference_mode()
def test_text_features_are_clips_with_zero_padding(tmp_path):
    folder = clip_folder(tmp_path / "clip")
    features = text_features("A", folder, length=6)
    expected = clip_by_hand(folder, torch.tensor([0, 3, 1, 0, 0, 0]))
    assert features.shape == (1, 6, 8)
    assert (features[0] - expected).abs().max() < 1e-5
    # cut to length, the end token kept
    long = text_features("a photo", folder, length=6)
    assert (long[0] - clip_by_hand(folder, torch.tensor([0, 3, 4, 5, 6, 1]))).abs().max() < 1e-5
    with pytest.raises(UserError, match="no CLIP text model"):
        text_features("a", tmp_path / "nothing", length=6)
    for name, content in (
        ("merges.txt", b"\xff"),
        ("vocab.json", b"[]"),
        ("config.json", b'{"model_type": "clip", "text_config": 3}'),
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "),
    ):
        damaged = shutil.copytree(folder, tmp_path / name)
        (damaged / name).write_bytes(content)
        with pytest.raises(UserError, match="no CLIP text model can be loaded"):
            text_features("a", damaged, length=6)


@torch.inference_mode()
def test_text_aware_model_decodes_under_its_caption(installed, tmp_path):
    reference, tokenizer = installed("tatitok-bl-32", caption="a photo")
    codes = tokenizer.encode(golden_images())
    decoded = tokenizer.decode(codes, [0, 1])
    text = text_features("a photo", tmp_path / "clip", length=6)
    expected = 2 * reference.decode(codes.codes, text.expand(2, -1, -1)) - 1
    assert (decoded - expected.clamp(-1, 1)).abs().max() < 1e-5
    other = 2 * reference.decode(codes.codes, text_features("a", tmp_path / "clip", length=6)) - 1
    assert (decoded - other.clamp(-1, 1)).abs().max() > 1e-3


def test_wrong_sizes_and_wrong_files_are_refused(installed, tmp_path):
    _, tokenizer = installed("titok-l-32")
    with pytest.raises(ImageError, match="16×16"):
        tokenizer.encode(torch.zeros(1, 3, 32, 32))
    with torch.device("meta"):
        other = TiTok(VARIANTS["titok-s-128"]).state_dict()
    path = tmp_path / "tokenizer_titok_s128.bin"
    torch.save({key: torch.zeros(1).expand(p.shape) for key, p in other.items()}, path)
    context = LoadContext(device="cpu", dtype="float32", weights=lambda name: path)
    with pytest.raises(UserError) as caught:
        MODELS["titok-l-32"].load(context)
    assert caught.value.remedy == "These are the keys and shapes of titok-s-128."


@torch.inference_mode()
def test_codes_of_another_codebook_are_refused(installed):
    _, tokenizer = installed("titok-l-32")
    wrong = Codes(codes=torch.full((1, 5), 40), codebook_size=4096, size_px=(16, 16))
    with pytest.raises(ValueError, match="0 … 39"):
        tokenizer.decode(wrong, [0])


@torch.inference_mode()
@pytest.mark.parametrize("name", ["titok-l-32", "titok-vae-ll-32", "tatitok-bl-32"])
def test_half_precision_is_close(installed, name):
    caption = {"caption": "a"} if name.startswith("ta") else {}
    _, exact = installed(name, **caption)
    _, half = installed(name, dtype="bfloat16", **caption)
    codes = exact.encode(golden_images())
    decoded = half.decode(
        codes if codes.codes is not None else half.encode(golden_images()), [0, 1]
    )
    assert decoded.dtype == torch.float32
    # bfloat16 keeps eight bits
    assert (decoded - exact.decode(codes, [0, 1])).abs().mean() < 0.02
    assert half.encode(golden_images()).size_px == (16, 16)
