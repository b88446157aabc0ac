"""From words and classes to images, with small parts that are real ones."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from gpt_models import CLASS, TEXT, random_gpt, random_texts

from layton.errors import ConfigError, PromptError
from layton.generator.config import Guidance, Sampling
from layton.generator.text_to_image import (
    ClassToImage,
    LaytonDecoder,
    TextToImage,
    VQImageDecoder,
)
from layton.tokenizer.config import VQConfig
from layton.tokenizer.vq_model import VQModel

VQ = VQConfig(
    channels=8,
    encoder_ch_mult=(1, 2),
    decoder_ch_mult=(1, 2),
    num_res_blocks=1,
    z_channels=8,
    norm_num_groups=4,
    codebook_size=40,
    codebook_dim=4,
)
PROMPTS = ["a red circle", "a cat", "a red circle"]
SEEDS = [5, 6, 7]


class WordEncoder:
    """Features from the words themselves; counts the texts it reads."""

    def __init__(self):
        self.seen = []

    def encode(self, texts):
        self.seen.append(list(texts))
        return [random_texts([len(text.split())], seed=len(text))[0] for text in texts]


@pytest.fixture
def vq_decoder():
    torch.manual_seed(0)
    return VQImageDecoder(VQModel(VQ).eval(), grid_side=4)


@pytest.fixture
def text_to_image(vq_decoder):
    return TextToImage(
        WordEncoder(),
        random_gpt(TEXT),
        vq_decoder,
        guidance=Guidance(scale=2.0),
        sampling=Sampling(top_k=20),
    )


def test_stages_are_watched_in_order(text_to_image, vq_decoder):
    seen = []

    @contextmanager
    def watch(stage):
        seen.append(f"{stage} begins, {len(text_to_image.text_encoder.seen)} texts read")
        yield
        seen.append(f"{stage} ends")

    text_to_image._watch = watch
    text_to_image.generate(PROMPTS[:1], seeds=SEEDS[:1])
    assert seen == [
        "text begins, 0 texts read", "text ends",
        "tokens begins, 1 texts read", "tokens ends",
        "decode begins, 1 texts read", "decode ends",
    ]  # fmt: skip
    seen.clear()
    classes = ClassToImage(random_gpt(CLASS), vq_decoder, watch=watch)
    classes.generate([0], seeds=[1])
    assert [line.split()[0] for line in seen] == ["tokens", "tokens", "decode", "decode"]


def test_images_of_texts(text_to_image, vq_decoder):
    images = text_to_image.generate(PROMPTS, seeds=SEEDS)
    assert images.shape == (3, 3, 8, 8)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert text_to_image.text_encoder.seen == [PROMPTS[:2]]  # a repeated prompt is read once
    codes = text_to_image.codes.generate(
        WordEncoder().encode(PROMPTS),
        seeds=SEEDS,
        guidance=Guidance(scale=2.0),
        sampling=Sampling(top_k=20),
    )
    grid = codes.view(3, 4, 4)
    assert torch.allclose(images, vq_decoder.model.decode(grid).clamp(-1, 1), atol=1e-5)


def test_an_image_depends_on_prompt_and_seed_alone(text_to_image):
    images = text_to_image.generate(PROMPTS, seeds=SEEDS)
    assert torch.equal(text_to_image.generate(PROMPTS[1:2], seeds=SEEDS[1:2])[0], images[1])
    turned = text_to_image.generate(PROMPTS[::-1], seeds=SEEDS[::-1])
    assert torch.equal(turned.flip(0), images)
    assert not torch.equal(images[0], images[2])


def test_a_call_can_override_the_settings(text_to_image):
    options = {"guidance": Guidance(), "sampling": Sampling(temperature=0.0)}
    first = text_to_image.generate(PROMPTS[:1], seeds=[1], **options)
    assert torch.equal(first, text_to_image.generate(PROMPTS[:1], seeds=[2], **options))


@pytest.mark.parametrize(("prompts", "seeds"), [([], []), (PROMPTS, [1])])
def test_counts_are_checked_before_texts_are_read(text_to_image, prompts, seeds):
    with pytest.raises(PromptError):
        text_to_image.generate(prompts, seeds=seeds)
    assert text_to_image.text_encoder.seen == []


def test_images_of_classes(vq_decoder):
    generator = ClassToImage(random_gpt(CLASS), vq_decoder, guidance=Guidance(scale=2.0))
    images = generator.generate([0, 6], seeds=[1, 2])
    assert images.shape == (2, 3, 8, 8)
    assert torch.equal(generator.generate([6], seeds=[2])[0], images[1])
    with pytest.raises(PromptError, match="class 7"):
        generator.generate([0, 7], seeds=[1, 2])


def test_layton_draws_the_decoder_noise_from_the_seed(tiny_tokenizer):
    gpt = random_gpt(replace(TEXT, codebook_size=32))
    generator = TextToImage(WordEncoder(), gpt, LaytonDecoder(tiny_tokenizer))
    codes = generator.codes.generate(WordEncoder().encode(PROMPTS), seeds=SEEDS)
    images = generator.generate(PROMPTS, seeds=SEEDS)
    wanted = tiny_tokenizer.decode(codes, generator=SEEDS, cond_scale=0.8)
    assert (images - wanted).abs().max() < 1e-4  # alone, an image rounds otherwise
    assert torch.equal(generator.generate(PROMPTS[1:2], seeds=SEEDS[1:2])[0], images[1])
    other = LaytonDecoder(tiny_tokenizer, cond_scale=1.0).decode(codes, SEEDS)
    assert (other - wanted).abs().max() > 1e-2


@pytest.mark.parametrize(
    "config", [replace(TEXT, codebook_size=41), replace(TEXT, num_tokens=25)], ids=["codes", "grid"]
)
def test_a_decoder_of_other_codes_is_refused(vq_decoder, config):
    with pytest.raises(ConfigError, match="16 tokens of 40 codes"):
        TextToImage(WordEncoder(), random_gpt(config), vq_decoder)


def test_the_wrong_kind_of_transformer_is_refused(vq_decoder):
    with pytest.raises(ConfigError, match="not text-conditional"):
        TextToImage(WordEncoder(), random_gpt(CLASS), vq_decoder)
    with pytest.raises(ConfigError, match="not class-conditional"):
        ClassToImage(random_gpt(TEXT), vq_decoder)
