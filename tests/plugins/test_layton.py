"""The Layton plugin: cards, published files on a small configuration, shipped models, options."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import layton_bench_layton as plugin
from layton import NAMED_MODELS, Tokenizer
from layton.tokenizer.config import TokenizerConfig, UNetConfig, VAEConfig, VQConfig
from layton_bench import LoadContext, UserError
from layton_bench.types import Codes
from layton_bench.weights import WeightsStore
from layton_bench_layton.shipped import find_shipped

SMALL = TokenizerConfig(
    encoder=VQConfig(
        channels=8,
        num_res_blocks=1,
        encoder_ch_mult=(1, 2, 2),
        decoder_ch_mult=(1, 2, 2),
        z_channels=8,
        norm_num_groups=4,
        codebook_size=32,
        codebook_dim=4,
    ),
    unet=UNetConfig(
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        num_attention_heads=(1, 2),
        transformer_layers_per_block=(1, 1),
        cross_attention_dim=12,
        layers_per_block=1,
        norm_num_groups=4,
        addition_time_embed_dim=8,
        pooled_text_dim=6,
    ),
    vae=VAEConfig(block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4),
    image_px=64,
    encode_px=16,
    encode_px_choices=(16, 20),
    condition_channels=(4, 6),
)


def registered(hook):
    found = {}
    getattr(plugin, hook)(
        register=lambda entry: found.setdefault(getattr(entry, "card", entry).name, entry)
    )
    return found


SPECS = registered("layton_bench_register_models")
WEIGHTS = registered("layton_bench_register_weights")


def random_tokenizer():
    torch.manual_seed(0)
    tokenizer = Tokenizer(SMALL)
    for parameter in tokenizer.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return tokenizer.eval()


@pytest.fixture
def published(monkeypatch):
    """Every published model with the small sizes; its step schedule stays."""
    for name, model in NAMED_MODELS.items():
        config = replace(SMALL, sampler=model.config.sampler)
        monkeypatch.setitem(NAMED_MODELS, name, replace(model, config=config))


@pytest.fixture
def installed(tmp_path):
    """Installed weights: a whole tokenizer file, a LoRA, and SDXL's parts."""
    tokenizer = random_tokenizer()
    torch.save({"model": tokenizer.state_dict()}, tmp_path / "tokenizer.pth")
    torch.manual_seed(1)
    pair = {"down": torch.randn(2, 8, 3, 3) * 0.1, "up": torch.randn(4, 2, 1, 1) * 0.1}
    lora = {f"lora_unet_conv_out.lora_{side}.weight": value for side, value in pair.items()}
    save_file(lora | {"lora_unet_conv_out.alpha": torch.tensor(1.0)}, tmp_path / "lora.safetensors")
    tokenizer.decoder.unet.save_pretrained(tmp_path / "sdxl/unet")
    tokenizer.vae.save_pretrained(tmp_path / "sdxl/vae")
    found = dict.fromkeys(NAMED_MODELS, tmp_path / "tokenizer.pth")
    return found | {
        "hyper-sd-sdxl-1step": tmp_path / "lora.safetensors",
        "tlcm-sdxl": tmp_path / "lora.safetensors",
        "sdxl-unet-vae": tmp_path / "sdxl",
    }


def load(name, weights, **options):
    spec = SPECS[name]
    defaults = spec.options | {"encode_px": SMALL.encode_px}
    return spec.load(
        LoadContext(
            device="cpu", dtype="float32", weights=weights.__getitem__, options=defaults | options
        )
    )


def images(count=2, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_every_named_model_has_a_card_and_its_weights():
    assert list(NAMED_MODELS) == [n for n in SPECS if n in NAMED_MODELS]
    for name, model in NAMED_MODELS.items():
        card = SPECS[name].card
        assert card.title == model.label
        assert (card.num_tokens, card.bits_per_image) == (256, 3584)
        assert set(card.weights) <= WEIGHTS.keys()
        assert all(name in WEIGHTS[weight].used_by for weight in card.weights)
        assert SPECS[name].options["steps"] == card.nfe == model.config.sampler.steps
    assert SPECS["layton-h-star"].card.title == "Layton-H*"
    assert SPECS["layton-t"].card.aliases == ("layton-l",)
    assert SPECS["layton-ladd-hyper"].card.weights == ("layton-ladd", "hyper-sd-sdxl-1step")


def test_where_no_file_is_published_the_card_says_what_to_use():
    for name in NAMED_MODELS:
        is_published = name in ("layton-t-star", "layton-t-star-2steps")
        said = "no file is published, use layton-t-star" in SPECS[name].card.summary
        assert said != is_published
    for name, entry in WEIGHTS.items():
        if name in NAMED_MODELS:
            assert bool(entry.files[0].url) == (name == "layton-t-star")
            assert entry.needs == ("sdxl-unet-vae",)
    assert SPECS["layton-t-star-2steps"].card.weights == ("layton-t-star",)
    assert SPECS["layton-t-2steps"].card.weights == ("layton-t",)


def test_an_added_file_must_be_the_models(published, installed, tmp_path):
    store = WeightsStore(WEIGHTS, tmp_path / "weights")
    whole = installed["layton-h"]
    assert store.add("layton-h", whole, may_be_own=True).is_file()
    (tmp_path / "garbage.txt").write_text("garbage")
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "other.pth")
    for name in ("garbage.txt", "other.pth"):
        with pytest.raises(UserError):
            store.add("layton-t", tmp_path / name, may_be_own=True)
        assert not store.is_installed("layton-t")
    # a folder as it is downloaded from the hub
    (tmp_path / "LaCTok").mkdir()
    whole.rename(tmp_path / "LaCTok/LaCTok-T.pth")
    assert store.add("layton-t-star", tmp_path / "LaCTok", may_be_own=True).is_file()


def test_the_parameter_counts_are_true():
    with torch.device("meta"):
        tokenizer = Tokenizer(NAMED_MODELS["layton-h"].config)
    sizes = {key: p.numel() for key, p in tokenizer.named_parameters()}
    encoder = sum(n for key, n in sizes.items() if key.startswith(("encoder.", "quant_conv.")))
    unused = sum(n for k, n in sizes.items() if k.startswith(("vae.encoder.", "vae.quant_conv.")))
    card = SPECS["layton-h"].card
    assert card.encoder_params == encoder
    assert card.decoder_params == sum(sizes.values()) - encoder - unused


def test_a_published_file_decodes_as_the_library_does(published, installed):
    model = load("layton-t", installed)
    codes = model.encode(images())
    assert (codes.codebook_size, codes.size_px, codes.bits()) == (32, (64, 64), (80.0, 80.0))
    decoded = model.decode(codes, [5, 6])
    tokenizer = random_tokenizer()
    assert torch.equal(codes.codes, tokenizer.encode(images()))
    expected = tokenizer.decode(codes.codes, generator=[5, 6], steps=3)
    assert (decoded - expected).abs().max() < 1e-4


def test_an_image_alone_has_the_same_bits(published, installed):
    model = load("layton-h", installed)
    codes = model.encode(images(3))
    together = model.decode(codes, [1, 2, 3])
    alone = model.encode(images(3)[1:2])
    assert torch.equal(alone.codes, codes.codes[1:2])
    assert torch.equal(model.decode(alone, [2]), together[1:2])
    assert not torch.equal(model.decode(alone, [4]), together[1:2])


@pytest.mark.parametrize("name", ["layton-ladd-hyper", "layton-ladd-tlcm"])
def test_acceleration_is_merged(published, installed, name):
    plain = load("layton-ladd", installed, steps=2)
    model = load(name, installed)
    codes = plain.encode(images(1))
    unet, other = (m.tokenizer.decoder.unet.conv_out.weight for m in (plain, model))
    assert (unet - other).abs().max() > 1e-3
    assert plain.decode(codes, [0]).shape == model.decode(codes, [0]).shape == (1, 3, 64, 64)


def test_a_file_of_the_trained_part_alone_is_completed_by_sdxl(published, installed, tmp_path):
    whole = load("layton-h", installed)
    state = random_tokenizer().state_dict()
    trained = {k: v for k, v in state.items() if not k.startswith(("decoder.unet.", "vae."))}
    torch.save({"model": trained}, tmp_path / "trained.pth")
    model = load("layton-h", installed | {"layton-h": tmp_path / "trained.pth"})
    codes = model.encode(images())
    assert (model.decode(codes, [1, 2]) - whole.decode(codes, [1, 2])).abs().max() < 1e-5


def test_options_reach_the_model_and_nonsense_is_named(published, installed):
    model = load("layton-t", installed, steps=1, cond_scale=0.0, encode_px=20)
    codes = model.encode(images(1))
    assert codes.codes.shape == (1, 25)
    other = Codes(codes=(codes.codes + 1) % 32, codebook_size=32, size_px=(64, 64))
    assert torch.equal(model.decode(codes, [0]), model.decode(other, [0]))  # codes do not steer
    with pytest.raises(UserError, match="does not have this encoder size"):
        load("layton-t", installed, encode_px=24)
    with pytest.raises(UserError, match="9 is not 1 … 8"):
        load("layton-t", installed, steps=9)
    with pytest.raises(UserError, match="32×32 px; this model takes 64×64"):
        model.encode(images(1, 32))


def test_a_wrong_file_is_named(published, installed, tmp_path):
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not in the model"):
        load("layton-h", installed | {"layton-h": tmp_path / "other.pth"})


def test_shipped_models_are_found_by_their_files(tmp_path):
    tokenizer = random_tokenizer()
    tokenizer.save_pretrained(tmp_path / "layton-small", dtype=torch.float16)
    (tmp_path / "generator").mkdir()
    (tmp_path / "generator/config.json").write_text('{"text_dim": 3}')
    (tmp_path / "unfinished").mkdir()
    (found,) = find_shipped(tmp_path)
    sizes = {key: p.numel() for key, p in tokenizer.named_parameters()}
    encoder = sum(n for key, n in sizes.items() if key.startswith(("encoder.", "quant_conv.")))
    unused = sum(n for k, n in sizes.items() if k.startswith(("vae.encoder.", "vae.quant_conv.")))
    assert (found.name, found.config) == ("layton-small", SMALL)
    assert found.encoder_params == encoder
    assert found.decoder_params == sum(sizes.values()) - encoder - unused
    card = plugin._shipped_card(found)
    assert card.weights == ()
    assert (card.sizes_px, card.num_tokens, card.bits_per_image) == ((64,), 16, 80)


def test_a_torn_file_hides_no_other_model_and_no_folder_takes_a_published_name(tmp_path, caplog):
    for name in ("layton-small", "layton-torn", "layton-h"):
        random_tokenizer().save_pretrained(tmp_path / name)
    weights = tmp_path / "layton-torn/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert [found.name for found in find_shipped(tmp_path)] == ["layton-small"]
    assert str(weights) in caplog.text
    card = plugin._shipped_card(find_shipped(tmp_path)[0])
    assert (card.licence, card.training_data) == ("", "")  # nothing is known of it


def test_models_of_one_name_are_told_apart(tmp_path, monkeypatch, caplog):
    for seed, root in enumerate("ab"):
        torch.manual_seed(seed)
        tokenizer = random_tokenizer()
        tokenizer.quantize.embedding.weight.data.add_(seed)
        tokenizer.save_pretrained(tmp_path / root / "layton-small")
    titles = [plugin._shipped_card(find_shipped(tmp_path / r)[0]).title for r in "ab"]
    assert titles[0] != titles[1]
    assert all(re.fullmatch(r"Layton-small \([0-9a-f]{6}\)", title) for title in titles)
    assert caplog.text == ""
    # only one of them can have the name; which, and which is hidden, is said
    (found,) = find_shipped(tmp_path / "b", tmp_path / "a")
    assert found.folder == tmp_path / "b/layton-small"
    assert f"{tmp_path / 'a/layton-small'} is not used: {found.folder} has" in caplog.text
    # what is described is what is loaded, whatever the search order is by then
    monkeypatch.setenv("LAYTON_MODELS", str(tmp_path / "a"))
    card = plugin._shipped_card(found)
    spec = plugin._spec(card, found.config, lambda context: plugin._load_shipped(found, context))
    context = LoadContext(
        device="cpu", dtype="float32", weights=lambda name: tmp_path, options=spec.options
    )
    loaded = spec.load(context).tokenizer.quantize.digest
    assert loaded == Tokenizer.from_pretrained(found.folder).quantize.digest
    assert str(tmp_path) not in f"{card}"  # records may be published


def test_a_shipped_model_loads(tmp_path, monkeypatch):
    random_tokenizer().save_pretrained(tmp_path / "layton-small")
    monkeypatch.setenv("LAYTON_MODELS", str(tmp_path))
    (found,) = find_shipped(tmp_path)
    spec = plugin._spec(
        plugin._shipped_card(found),
        found.config,
        lambda context: plugin._load_shipped(found, context),
    )
    context = LoadContext(
        device="cpu", dtype="float32", weights=lambda name: tmp_path, options=spec.options
    )
    model = spec.load(context)
    decoded = model.decode(model.encode(images()), [0, 1])
    again = spec.load(context)
    assert torch.equal(decoded, again.decode(again.encode(images()), [0, 1]))
