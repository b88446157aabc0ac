"""LlamaGen's generators as the harness meets them: cards, published files, prompts, settings."""

from dataclasses import replace

import pytest
import torch
from gpt_models import CLASS, TEXT, random_gpt
from named_weights import fill_by_name
from tiny_t5 import WIDTH, save_tiny_t5

import layton_bench_llamagen
from layton import ClassToImage, T5TextEncoder, TextToImage, VQImageDecoder
from layton.generator.config import GENERATORS, GPTConfig, Guidance, Sampling
from layton.generator.transformer import GPT
from layton.tokenizer.config import VQ_16, VQConfig
from layton.tokenizer.vq_model import VQModel
from layton_bench import Generator, LoadContext, Prompt, UserError
from layton_bench.weights import WeightsStore
from layton_bench_llamagen import generators

SPECS = {spec.card.name: spec for spec in generators.SPECS}
WEIGHTS = {entry.name: entry for entry in generators.WEIGHTS}
TINY = {"llamagen-c2i-b": CLASS, "llamagen-t2i-xl-256": replace(TEXT, text_dim=WIDTH)}
VQ = VQConfig(
    channels=8,
    encoder_ch_mult=(1, 2),
    decoder_ch_mult=(1, 2),
    num_res_blocks=1,
    z_channels=8,
    norm_num_groups=4,
    codebook_size=40,
)
CLASSES = [Prompt(key="a", class_id=0), Prompt(key="b", class_id=6)]
TEXTS = [Prompt(key="a", text="a red circle"), Prompt(key="b", text="a cat")]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_card_is_true(name):
    card, config = SPECS[name].card, GENERATORS[name]
    with torch.device("meta"):
        gpt, vq = GPT(config.gpt), VQModel(VQ_16)
    decoder = sum(
        p.numel()
        for key, p in vq.named_parameters()
        if not key.startswith(("encoder.", "quant_conv."))
    )
    assert card.decoder_params == sum(p.numel() for p in gpt.parameters()) + decoder
    assert card.sizes_px == ({256: 256, 576: 384, 1024: 512}[config.gpt.num_tokens],)
    assert card.bits_per_image == 14 * config.gpt.num_tokens
    assert card.cfg_scale == SPECS[name].options["cfg_scale"]
    tokenizers = {"llamagen-16", "llamagen-16-t2i"}
    assert set(card.weights) <= WEIGHTS.keys() | tokenizers
    assert (card.encoder_params is not None) == ("flan-t5-xl" in card.weights)


def test_the_text_encoder_has_the_published_size():
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32}
    with torch.device("meta"):
        encoder = T5EncoderModel(
            T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **sizes)
        )
    params = sum(p.numel() for p in encoder.parameters())
    assert SPECS["llamagen-t2i-xl-256"].card.encoder_params == params


def test_published_names_and_files():
    sizes = [f"llamagen-c2i-{size}" for size in ("b", "l", "xl", "xxl", "3b")]
    names = [*sizes, *(f"{name}@384" for name in sizes)]
    assert sorted(SPECS) == sorted([*names, "llamagen-t2i-xl-256", "llamagen-t2i-xl-512"])
    assert WEIGHTS["llamagen-c2i-3b-384"].files[0].path == "c2i_3B_384.pt"
    assert WEIGHTS["llamagen-c2i-3b"].files[0].url == ""
    assert "no checkpoint" in SPECS["llamagen-c2i-3b"].card.notes


def test_a_size_without_a_published_file_can_only_be_added(tmp_path, monkeypatch):
    monkeypatch.delenv("LAYTON_BENCH_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    store = WeightsStore(WEIGHTS, tmp_path / "root")
    with pytest.raises(UserError, match="no public address"):
        store.pull("llamagen-c2i-3b")
    tiny = GPTConfig(dim=8, num_layers=1, num_heads=2, codebook_size=4, num_tokens=4)
    monkeypatch.setitem(
        GENERATORS, "llamagen-c2i-3b", replace(GENERATORS["llamagen-c2i-3b"], gpt=tiny)
    )
    torch.save({"model": random_gpt(tiny).state_dict()}, tmp_path / "mine.pt")
    added = store.add("llamagen-c2i-3b", tmp_path / "mine.pt")
    assert added.read_bytes() == (tmp_path / "mine.pt").read_bytes()
    other = replace(tiny, num_layers=2)
    torch.save({"model": random_gpt(other).state_dict()}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="does not fit the model"):
        store.add("llamagen-c2i-3b", tmp_path / "other.pt")
    assert added.read_bytes() == (tmp_path / "mine.pt").read_bytes()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a generator of tiny parts from files as they are published."""
    monkeypatch.setattr("layton.tokenizer.config.VQ_16", VQ)
    for name, config in TINY.items():
        monkeypatch.setitem(GENERATORS, name, replace(GENERATORS[name], gpt=config))
        torch.save({"model": random_gpt(config).state_dict()}, tmp_path / f"{name}.pt")
    torch.save({"model": fill_by_name(VQModel(VQ)).state_dict()}, tmp_path / "vq.pt")
    t5 = save_tiny_t5(tmp_path / "t5")

    def find(name):
        if name == "flan-t5-xl":
            return t5
        return tmp_path / ("vq.pt" if name.startswith("llamagen-16") else f"{name}.pt")

    def loaded(name, *, weights=find, **options):
        context = LoadContext(
            device="cpu", dtype="float32", weights=weights, options=SPECS[name].options | options
        )
        return SPECS[name].load(context)

    loaded.find = find
    return loaded


@pytest.fixture
def decoder(load):
    context = LoadContext(device="cpu", dtype="float32", weights=load.find)
    return VQImageDecoder(layton_bench_llamagen.load_vq("llamagen-16", context), grid_side=4)


def test_classes_are_drawn_under_the_published_settings(load, decoder):
    generator = load("llamagen-c2i-b")
    assert isinstance(generator, Generator)
    images = generator.generate(CLASSES, [3, 4])
    assert images.shape == (2, 3, 8, 8)
    direct = ClassToImage(random_gpt(CLASS), decoder, guidance=Guidance(scale=2.0))
    assert torch.equal(images, direct.generate([0, 6], seeds=[3, 4]))


def test_texts_are_drawn_under_given_settings(load, decoder):
    generator = load("llamagen-t2i-xl-256", cfg_scale=3.0, top_k=5, temperature=0.7, top_p=0.9)
    images = generator.generate(TEXTS, [3, 4])
    direct = TextToImage(
        T5TextEncoder.from_pretrained(load.find("flan-t5-xl")),
        random_gpt(TINY["llamagen-t2i-xl-256"]),
        decoder,
        guidance=Guidance(scale=3.0),
        sampling=Sampling(temperature=0.7, top_k=5, top_p=0.9),
    )
    wanted = direct.generate([prompt.text for prompt in TEXTS], seeds=[3, 4])
    assert torch.equal(images, wanted)
    assert torch.equal(generator.generate(TEXTS[1:], [4])[0], images[1])


@pytest.mark.parametrize(
    ("name", "prompt", "message"),
    [
        ("llamagen-c2i-b", TEXTS[0], "draws classes"),
        ("llamagen-c2i-b", Prompt(key="a", class_id=7), "class 7"),
        ("llamagen-t2i-xl-256", CLASSES[0], "draws texts"),
        ("llamagen-t2i-xl-256", Prompt(key="a", text=" "), "empty"),
        ("llamagen-t2i-xl-256", Prompt(key="a", text="a " * 3000), "characters"),
    ],
)
def test_prompts_that_cannot_be_drawn(load, name, prompt, message):
    generator = load(name)
    with pytest.raises(UserError, match=message):
        generator.generate([prompt], [0])
    with pytest.raises(UserError, match=message):
        generator.check_prompts([prompt])
    generator.check_prompts(CLASSES if "c2i" in name else TEXTS)


def test_wrong_files_and_settings_are_named(load):
    with pytest.raises(UserError, match="does not fit"):
        load("llamagen-c2i-b", weights=lambda name: load.find("llamagen-t2i-xl-256"))
    with pytest.raises(UserError, match="top_p"):
        load("llamagen-c2i-b", top_p=2.0)
