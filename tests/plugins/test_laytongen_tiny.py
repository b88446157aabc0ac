"""Generators in folders, as laytongen-tiny ships: found by name, drawn offline, refused by name."""

import json
import re
import shutil
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from gpt_models import TEXT, random_gpt
from PIL import Image
from tiny_layton import CONFIG, random_tokenizer

import layton_bench_layton as plugin
from layton import LaytonDecoder, TextToImage
from layton.generator.config import Guidance, Sampling
from layton.generator.folder import TEXT_FOLDER, GeneratorSettings, write_generator
from layton.generator.loading import load_gpt, save_gpt
from layton.generator.words import (
    WordEncoder,
    WordsConfig,
    load_words,
    save_words,
    split_words,
    vocabulary,
)
from layton.weights.fingerprints import codebook_digest
from layton.weights.shipped import PACKAGED
from layton_bench import LoadContext, Prompt, UserError
from layton_bench.images import to_uint8
from layton_bench.registry.plugins import Plugins
from layton_bench.tasks.scenes import prompt_set, sample_caption, sample_prompts
from layton_bench.tasks.scenes.judge import judge_image
from layton_bench.tasks.scenes.prompt_set import suite_prompts
from layton_bench_layton import shipped_generators

NAME, TOKENIZER = "laytongen-small", "layton-small"
GPT = replace(TEXT, codebook_size=32, text_dim=16, num_prefix_tokens=16)
WORDS = vocabulary(prompt.prompt for _, prompt in suite_prompts().values())
TEXTS = ["a red circle left of a blue square", "two stars"]
PROMPTS = [Prompt(key=str(i), text=text) for i, text in enumerate(TEXTS)]


def save_generator(folder, gpt=GPT, tokenizer=TOKENIZER, codebook=""):
    torch.manual_seed(0)
    save_gpt(random_gpt(gpt), folder)
    save_words(WordEncoder(WordsConfig(words=WORDS, width=16, max_words=14)), folder / "text")
    settings = GeneratorSettings(
        tokenizer=tokenizer, cfg_scale=2.0, temperature=0.9, top_k=20, codebook=codebook
    )
    write_generator(settings, folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A tokenizer and a generator of its codes."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = random_tokenizer(replace(CONFIG, image_px=256))
    tokenizer.save_pretrained(folder / TOKENIZER)
    save_generator(
        folder / NAME,
        codebook=codebook_digest(tokenizer.quantize.embedding.weight.detach().numpy()),
    )
    return folder


@pytest.fixture
def models(made, tmp_path, monkeypatch):
    """The same in a folder of the test's own, which the package looks in."""
    folder = tmp_path / "models"
    shutil.copytree(made, folder)
    monkeypatch.setenv("LAYTON_MODELS", str(folder))
    return folder


@pytest.fixture
def offline(monkeypatch):
    """Whoever reaches for the network fails."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def registered():
    found = {}
    plugin.layton_bench_register_models(
        register=lambda spec: found.setdefault(spec.card.name, spec)
    )
    return found


def load(name=NAME, **options):
    spec = registered()[name]
    context = LoadContext(
        device="cpu", dtype="float32", weights=lambda _: None, options=spec.options | options
    )
    return spec.load(context)


def count(module):
    """What is in its file: parameters, and a transformer's fixed null text."""
    return sum(tensor.numel() for tensor in module.state_dict().values())


def test_the_card_is_true(models, monkeypatch):
    specs = registered()
    card = specs[NAME].card
    assert (card.kind, card.sizes_px) == ("generator", (256,))
    # names may recur in another folder; contents may not
    assert re.fullmatch(r"LaytonGen-small \([0-9a-f]{6}\)", card.title)
    assert (card.num_tokens, card.codebook_size, card.bits_per_image) == (16, 32, 80)
    assert card.encoder_params == count(load_words(models / NAME / "text"))
    tokenizer = specs[TOKENIZER].card
    assert card.decoder_params == count(random_gpt(GPT)) + tokenizer.decoder_params
    assert (card.num_inference_steps, card.nfe, card.cfg_scale) == (2, 2, 2.0)
    assert card.weights == ()
    assert specs[NAME].options == {
        "cfg_scale": 2.0,
        "temperature": 0.9,
        "top_k": 20,
        "top_p": 1.0,
        "steps": 2,
        "cond_scale": 1.0,
        "compile": 0,
    }
    # what is known of the package's own models is not known of a user's
    assert (card.licence, card.training_data) == ("", "")
    monkeypatch.setattr(shipped_generators, "PACKAGED", models)
    card = registered()[NAME].card
    assert (card.licence, card.training_data) == ("MIT", "procedural scenes of this project")
    assert "ships with the package" in card.summary


def test_the_record_is_of_all_its_files(models):
    files = registered()[NAME].files()
    assert all(path.is_file() for path in files)
    assert sorted(str(path.relative_to(models)) for path in files) == [
        "layton-small/config.json",
        "layton-small/model.safetensors",
        "laytongen-small/config.json",
        "laytongen-small/generator.json",
        "laytongen-small/model.safetensors",
        "laytongen-small/text/config.json",
        "laytongen-small/text/model.safetensors",
    ]
    assert set(registered()[TOKENIZER].files()) < set(files)


def test_pictures_are_those_of_the_library(models, offline):
    generator = load(steps=1, cfg_scale=3.0, top_p=0.9)
    images = generator.generate(PROMPTS, [3, 4])
    assert images.shape == (2, 3, 256, 256)
    direct = TextToImage(
        load_words(models / NAME / "text"),
        load_gpt(models / NAME),
        LaytonDecoder(random_tokenizer(replace(CONFIG, image_px=256)), steps=1, cond_scale=None),
        guidance=Guidance(scale=3.0),
        sampling=Sampling(temperature=0.9, top_k=20, top_p=0.9),
    )
    # the plugin's decoder is folded for inference
    assert (images - direct.generate(TEXTS, seeds=[3, 4])).abs().max() < 1e-3
    cost = generator.latest_cost()
    assert (cost.nfe, list(cost.seconds)) == (1, ["text", "tokens", "decode"])


def test_a_picture_depends_on_its_prompt_and_seed(models):
    generator = load()
    both = generator.generate(PROMPTS, [3, 4])
    assert torch.equal(generator.generate(PROMPTS[1:], [4])[0], both[1])
    (other,) = generator.generate(PROMPTS[1:], [5])
    assert (other - both[1]).abs().max() > 0.01
    (drawn,) = generator.generate(PROMPTS[:1], [4])
    assert (drawn - both[1]).abs().max() > 0.01


def test_the_prompt_reaches_the_codes(models):
    """The same noise throughout: what differs comes from the prompt."""
    generator = load(temperature=0, cfg_scale=1.0)
    first, again = (generator.generate(PROMPTS[:1], [0])[0] for _ in range(2))
    (second,) = generator.generate(PROMPTS[1:], [0])
    assert torch.equal(first, again)
    assert (first - second).abs().max() > 0.01


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no words"),
        ("?!", "has no words"),
        ("a red cow", "does not know: cow"),
        ("a red circle and a blue square and a star and a heart left of a ring", "17 words"),
    ],
)
def test_prompts_that_it_cannot_draw(models, text, reason):
    with pytest.raises(UserError, match=reason):
        load().generate([*PROMPTS, Prompt(key="bad", text=text)], [0, 1, 2])


def test_settings_that_cannot_be(models):
    with pytest.raises(UserError, match="draws texts"):
        load().generate([Prompt(key="a", class_id=3)], [0])
    with pytest.raises(UserError, match="steps"):
        load(steps=0)
    with pytest.raises(UserError, match="not a scale"):
        load(cfg_scale=-1.0)


def rewrite(file, **change):
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def bad_json(folder):
    (folder / "generator.json").write_text("{")


def of_another_tokenizer(folder):
    rewrite(folder / "generator.json", tokenizer="layton-missing")


def without_text(folder):
    shutil.rmtree(folder / "text")


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def with_a_pointer(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def of_another_codebook(folder):
    save_generator(folder, replace(GPT, codebook_size=40))


def of_other_code_vectors(folder):
    save_generator(folder, codebook="0123456789abcdef")


def of_another_grid(folder):
    save_generator(folder, replace(GPT, num_tokens=25))


def of_other_sizes(folder):
    rewrite(folder / "config.json", num_layers=3)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (bad_json, r"generator\.json: the file: "),
        (of_another_tokenizer, "its tokenizer 'layton-missing' is missing"),
        (without_text, r"text: has no config\.json"),
        (without_weights, r"laytongen-small: has no model\.safetensors"),
        (with_a_pointer, "is not a safetensors file"),
        (of_another_codebook, "16 tokens of 32 codes, the transformer makes 16 of 40"),
        (of_other_code_vectors, "codes of another 'layton-small': the code vectors differ"),
        (of_another_grid, "16 tokens of 32 codes, the transformer makes 25 of 32"),
        (of_other_sizes, r"(?s)does not fit.*layers\.2"),
    ],
)
def test_a_broken_folder_is_named_and_hides_no_other(models, spoil, reason):
    spoil(models / NAME)
    assert {"layton-h", "laytongen-h", TOKENIZER} < registered().keys()
    with pytest.raises(UserError, match=reason):
        registered()[NAME].files()
        load()


def test_the_first_folder_of_a_name_counts(models, tmp_path, monkeypatch):
    other = tmp_path / "other"
    save_generator(other / NAME, replace(GPT, num_layers=1))
    monkeypatch.setenv("LAYTON_MODELS", f"{other}:{models}")
    generator = load()
    assert generator.generate(PROMPTS, [0, 1]).shape == (2, 3, 256, 256)
    whole = count(random_gpt(GPT))
    first = registered()[NAME].card.decoder_params
    monkeypatch.setenv("LAYTON_MODELS", f"{models}:{other}")
    second = registered()[NAME].card.decoder_params
    assert second - first == whole - count(random_gpt(replace(GPT, num_layers=1)))


def test_the_command_line_draws_without_a_network(bench, models, offline):
    assert Plugins().model(NAME).card.sizes_px == (256,)
    done = bench("generate", "--model", NAME, *TEXTS, "-o", "out")
    assert done.code == 0, done.err
    names = ["00000-a-red-circle-left-of-a-blue-square-00.png", "00001-two-stars-00.png"]
    assert done.out.split() == [f"out/{name}" for name in names]
    first, second = (Image.open(f"out/{name}") for name in names)
    assert first.size == (256, 256)
    assert first.info["prompt"] == TEXTS[0]
    assert first.info["model"] == NAME
    bench("generate", "--model", NAME, TEXTS[1], "-o", "alone")
    alone = Image.open("alone/00000-two-stars-00.png")
    assert np.array_equal(np.asarray(alone), np.asarray(second))
    assert not np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize(
    ("text", "told"),
    [("a red cow", "cow"), ("!", "no words"), ("", "empty"), ("a circle " * 8, "16 words")],
)
def test_the_command_line_refuses_before_it_draws(bench, models, tmp_path, text, told):
    # the prompt at fault is in the second batch
    done = bench("generate", "--model", NAME, *TEXTS * 2, text, "-o", "out")
    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "out").exists()


def test_a_run_refuses_before_it_draws(bench, models, tmp_path, monkeypatch):
    monkeypatch.setattr(TextToImage, "generate", None)
    prompts = dict(suite_prompts())
    key, (task, prompt) = prompts.popitem()
    prompts[key] = (task, prompt.model_copy(update={"prompt": "a red cow"}))
    monkeypatch.setattr(prompt_set, "suite_prompts", lambda: prompts)
    done = bench("run", "--suite", "scenes-gen", "--model", f"{NAME}@256")
    assert done.code == 2
    assert "does not know: cow" in done.err
    assert done.records == []


def test_a_run_of_the_scenes(bench, models, offline):
    done = bench("run", "--suite", "scenes-gen", "--model", NAME, "--limit", "6")
    assert done.code == 0, done.err
    (record,) = done.records
    assert record.metrics["scenes"].n == 3
    assert record.metrics["scenes-held-out"].n == 2
    assert record.model.card.cfg_scale == 2.0
    assert list(record.model.weights) == ["files"]
    assert record.throughput.nfe == 2


def test_training_captions_hold_every_word_of_the_suite():
    rng = np.random.default_rng(0)
    captions = [sample_caption(rng).prompt for _ in range(1500)]
    assert set(vocabulary(captions)) >= set(WORDS)
    # the recipe's max_words
    assert max(len(split_words(caption)) for caption in captions) <= 32


SHIPPED = "laytongen-tiny"


@pytest.fixture
def as_installed(monkeypatch, offline):
    monkeypatch.delenv("LAYTON_MODELS", raising=False)


def drawn(prompts):
    """The shipped one's first picture of each prompt, uint8 (B, H, W, 3)."""
    asked = [Prompt(key=str(i), text=prompt.prompt) for i, prompt in enumerate(prompts)]
    images = to_uint8(load(SHIPPED).generate(asked, list(range(len(asked)))), "round")
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def count_right(pictures, prompts):
    return sum(judge_image(i, p).correct for i, p in zip(pictures, prompts, strict=True))


def test_the_shipped_one_heeds_its_prompts(as_installed):
    """It draws what it is told far more often than what a prompt of another shape tells it."""
    prompts = [p for task in ("single_object", "colors") for p in sample_prompts(task, 12, seed=9)]
    pictures = drawn(prompts)
    shapes = [prompt.include[0].class_name for prompt in prompts]
    others = [
        next(other for other in prompts[i:] + prompts if other.include[0].class_name != shape)
        for i, shape in enumerate(shapes)
    ]
    assert count_right(pictures, prompts) >= 16
    assert count_right(pictures, others) <= 2


def test_the_shipped_one_knows_which_colour_is_whose(as_installed):
    prompts = sample_prompts("color_attr", 16, seed=9)
    others = []
    for prompt in prompts:
        first, second = prompt.include
        clauses = (
            first.model_copy(update={"color": second.color}),
            second.model_copy(update={"color": first.color}),
        )
        others.append(prompt.model_copy(update={"include": clauses}))
    pictures = drawn(prompts)
    assert count_right(pictures, prompts) >= 9
    assert count_right(pictures, others) <= 3


def test_the_shipped_one_from_the_command_line(bench, as_installed):
    done = bench("generate", "--model", SHIPPED, TEXTS[0], "-o", "out")
    assert done.code == 0, done.err
    with Image.open("out/00000-a-red-circle-left-of-a-blue-square-00.png") as picture:
        assert picture.size == (256, 256)
        assert picture.info["model"] == SHIPPED


def test_the_shipped_one_is_small_and_names_its_tokenizer(as_installed):
    files = registered()[SHIPPED].files()
    own = [path for path in files if path.parent.name in (SHIPPED, TEXT_FOLDER)]
    assert sum(path.stat().st_size for path in own) < 15e6
    assert set(WORDS) <= set(load_words(PACKAGED / SHIPPED / TEXT_FOLDER).config.words)
    settings = json.loads((PACKAGED / SHIPPED / "generator.json").read_text())
    assert settings["tokenizer"] == "layton-tiny"
    assert settings["codebook"]
