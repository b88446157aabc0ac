"""LaytonGen as the harness meets it: cards, parts from their files, pictures from the seed."""

import time
from dataclasses import replace

import pytest
import torch
from gpt_models import TEXT, random_gpt
from tiny_layton import CONFIG
from tiny_t5 import WIDTH, save_tiny_t5

from layton import LaytonDecoder, T5TextEncoder, TextToImage, Tokenizer
from layton.generator.config import GENERATORS, Guidance, Sampling
from layton.generator.transformer import GPT
from layton.tokenizer import NAMED_MODELS
from layton.tokenizer.ladd import LADD
from layton_bench import LoadContext, Prompt, UserError
from layton_bench.registry.plugins import Plugins
from layton_bench.weights import WeightsStore
from layton_bench_layton import generators

SPECS = {spec.card.name: spec for spec in generators.specs(decoder_params=1000)}
GPT_CONFIG = replace(TEXT, text_dim=WIDTH, codebook_size=32)
PROMPTS = [Prompt(key="a", text="a red circle"), Prompt(key="b", text="a cat")]


def noisy_tokenizer():
    """Random weights, zero convolutions included."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIG).eval()
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.normal_(std=0.2)
    return tokenizer


def test_the_cards_are_true():
    assert sorted(SPECS) == ["laytongen-h", "laytongen-h-star", "laytongen-t-star"]
    with torch.device("meta"):
        gpt = sum(p.numel() for p in GPT(GENERATORS["laytongen-h"].gpt).parameters())
    for name, spec in SPECS.items():
        card = spec.card
        assert card.decoder_params == gpt + 1000
        assert card.bits_per_image == 8 * 448
        assert card.sizes_px == (1024,)
        assert card.weights == (name, name.replace("gen", ""), "flan-t5-xl")
        # the published demo's command line
        assert (card.cfg_scale, spec.options["top_k"], spec.options["temperature"]) == (
            2,
            1000,
            0.1,
        )
        assert spec.options["cond_scale"] == 0.8
    assert SPECS["laytongen-h"].card.nfe == 1
    assert SPECS["laytongen-t-star"].card.nfe == 3
    assert {entry.name for entry in generators.WEIGHTS} == set(SPECS)
    for entry in generators.WEIGHTS:
        (file,) = entry.files
        is_published = entry.name == "laytongen-t-star"
        assert bool(file.url) == is_published == (not entry.instead)
        assert ("no file is published" in SPECS[entry.name].card.summary) != is_published


def test_everything_that_a_run_needs_is_pulled():
    """`weights pull layton-t-star laytongen-t-star`: tokenizer, transformer, SDXL, flan-T5-XL."""
    plugins = Plugins()
    store = WeightsStore(plugins.weights.entries)
    names = store.with_needs(["layton-t-star", "laytongen-t-star"])
    assert names == ["layton-t-star", "sdxl-unet-vae", "laytongen-t-star", "flan-t5-xl"]
    assert store.with_needs(["laytongen-t-star"]) == [
        "laytongen-t-star", "layton-t-star", "sdxl-unet-vae", "flan-t5-xl",
    ]  # fmt: skip
    files = [file for name in names for file in store.entry(name).files]
    assert all(file.url for file in files)
    assert "hub://OPPOer/LaCTok/main/LaCTok-T.pth" in [file.url for file in files]
    assert "hub://OPPOer/LaCTok/main/LaCTokGen-T.pth" in [file.url for file in files]
    card = plugins.model("laytongen-t-star").card
    assert set(card.weights) <= set(names)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads laytongen-t-star of tiny parts; keyword arguments are the user's options."""
    name, tokenizer = "laytongen-t-star", "layton-t-star"
    monkeypatch.setitem(NAMED_MODELS, tokenizer, replace(NAMED_MODELS[tokenizer], config=CONFIG))
    monkeypatch.setitem(GENERATORS, name, replace(GENERATORS[name], gpt=GPT_CONFIG))
    torch.save({"model": random_gpt(GPT_CONFIG).state_dict()}, tmp_path / "gpt.pth")
    noisy_tokenizer().save_pretrained(tmp_path / "tokenizer")
    found = {
        name: tmp_path / "gpt.pth",
        tokenizer: tmp_path / "tokenizer/model.safetensors",
        "flan-t5-xl": save_tiny_t5(tmp_path / "t5"),
    }

    def loaded(*, weights=found.__getitem__, **options):
        context = LoadContext(
            device="cpu", dtype="float32", weights=weights, options=SPECS[name].options | options
        )
        return SPECS[name].load(context)

    loaded.found = found
    return loaded


def test_pictures_of_prompts(load):
    generator = load(steps=1, cfg_scale=3.0, temperature=0.9)
    images = generator.generate(PROMPTS, [3, 4])
    assert images.shape == (2, 3, 64, 64)
    assert torch.equal(generator.generate(PROMPTS[1:], [4])[0], images[1])
    direct = TextToImage(
        T5TextEncoder.from_pretrained(load.found["flan-t5-xl"]),
        random_gpt(GPT_CONFIG),
        LaytonDecoder(noisy_tokenizer(), steps=1, cond_scale=0.8),
        guidance=Guidance(scale=3.0),
        sampling=Sampling(temperature=0.9, top_k=1000),
    )
    wanted = direct.generate([prompt.text for prompt in PROMPTS], seeds=[3, 4])
    # the plugin's decoder is folded for inference
    assert (images - wanted).abs().max() < 1e-3
    assert (images[0] - images[1]).abs().max() > 0.01


@pytest.mark.parametrize("steps", [1, 3])
def test_where_the_time_goes_and_how_often_the_denoiser_runs(load, steps, monkeypatch):
    calls = []
    forward = LADD.forward
    monkeypatch.setattr(
        LADD, "forward", lambda self, *args, **more: calls.append(1) or forward(self, *args, **more)
    )
    generator = load(steps=steps)
    start = time.perf_counter()
    generator.generate(PROMPTS[:1], [3])
    whole = time.perf_counter() - start
    cost = generator.latest_cost()
    assert cost.nfe == len(calls) == steps
    assert list(cost.seconds) == ["text", "tokens", "decode"]
    assert min(cost.seconds.values()) > 0
    assert 0.5 * whole < sum(cost.seconds.values()) < whole
    generator.generate(PROMPTS, [3, 4])
    assert generator.latest_cost().seconds != cost.seconds


def test_long_prompts_are_cut_counted_and_noted(load):
    generator = load()
    assert generator.notes() == []
    long = [Prompt(key=key, text=f"a {word} " * 80) for key, word in (("a", "red"), ("b", "cat"))]
    generator.check_prompts([*long, long[0]])
    assert generator.notes() == ["2 prompts were longer than 6 tokens and cut there"]
    # what is cut off has no influence
    more = Prompt(key="c", text=f"{long[0].text} blue square")
    first, second = (generator.generate([prompt], [5]) for prompt in (long[0], more))
    assert torch.equal(first, second)
    assert generator.notes() == ["3 prompts were longer than 6 tokens and cut there"]


def test_what_cannot_be_drawn_or_loaded_is_named(load):
    generator = load()
    with pytest.raises(UserError, match="empty"):
        generator.generate([Prompt(key="a", text="")], [0])
    with pytest.raises(UserError, match="draws texts"):
        generator.generate([Prompt(key="a", class_id=3)], [0])
    with pytest.raises(UserError, match="steps"):
        load(steps=0)
    with pytest.raises(UserError, match="does not fit"):
        load(weights=lambda name: load.found["layton-t-star" if "gen" in name else name])
