"""What every tokenizer promises, asked of every one that is registered and needs no weights."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from layton_bench.images import to_signed
from layton_bench.models import check_codes, check_images
from layton_bench.models.base import LoadContext, ModelSpec, Tokenizer
from layton_bench.registry.plugins import Plugins
from layton_bench.types import Codes


def _specs() -> list[ModelSpec]:
    plugins = Plugins()
    patterns = plugins.model_patterns.entries.values()
    names = [
        *plugins.models.entries,
        *(name for p in patterns if p.kind == "tokenizer" for name in p.examples),
    ]
    specs = {(spec := plugins.model(name)).card.name: spec for name in names}
    kept = (spec for spec in specs.values() if spec.card.kind == "tokenizer")
    return [spec for spec in kept if not spec.card.weights]


SPECS = _specs()


def _no_weights(name: str) -> None:
    raise AssertionError(f"a model without weights asks for '{name}'")


@pytest.fixture(params=SPECS, ids=lambda spec: spec.card.name)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return request.param


@pytest.fixture
def model(spec: ModelSpec) -> Tokenizer:
    return load(spec)


def load(spec: ModelSpec) -> Tokenizer:
    context = LoadContext(device="cpu", dtype="float32", weights=_no_weights, options=spec.options)
    return spec.load(context)


@pytest.fixture
def images(spec: ModelSpec) -> torch.Tensor:
    """Three pictures of a size the model takes: smooth, with edges, and grainy."""
    side = spec.card.sizes_px[0] if spec.card.sizes_px else 64
    rng = np.random.default_rng(3)
    coarse = torch.from_numpy(rng.uniform(0, 255, (3, 3, 4, 4)))
    levels = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    levels[1] = torch.where(levels[1] > 128, 230.0, 20.0)
    levels[2] += torch.from_numpy(rng.normal(0, 20, (3, side, side)))
    levels = levels.round().clamp(0, 255).to(torch.uint8)
    return to_signed(levels)


def picked(codes: Codes, rows: list[int]) -> Codes:
    """The codes of some of the images."""
    return Codes(
        size_px=codes.size_px,
        codes=None if codes.codes is None else codes.codes[rows],
        codebook_size=codes.codebook_size,
        latents=None if codes.latents is None else codes.latents[rows],
        payloads=None if codes.payloads is None else tuple(codes.payloads[i] for i in rows),
    )


def assert_same(a: Codes, b: Codes) -> None:
    assert (a.size_px, a.codebook_size, a.payloads) == (b.size_px, b.codebook_size, b.payloads)
    for ours, theirs in ((a.codes, b.codes), (a.latents, b.latents)):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)


def test_codes_and_images_have_the_shapes_and_ranges_of_the_contract(model, images):
    codes = model.encode(images)
    check_codes(codes, len(images))
    assert codes.size_px == tuple(images.shape[-2:])
    decoded = model.decode(codes, [0, 1, 2])
    check_images(decoded, tuple(images.shape))
    assert decoded.dtype == torch.float32
    assert decoded.min() >= -1
    assert decoded.max() <= 1


def test_a_reconstruction_resembles_its_own_image_most(model, images):
    decoded = model.decode(model.encode(images), [0, 1, 2])
    distance = torch.cdist(decoded.flatten(1), images.flatten(1))
    assert distance.argmin(dim=1).tolist() == [0, 1, 2]


def test_encoding_and_decoding_are_deterministic(spec, model, images):
    first, second = model.encode(images), load(spec).encode(images)
    assert_same(first, second)
    decoded = model.decode(first, [5, 6, 7])
    assert torch.equal(load(spec).decode(second, [5, 6, 7]), decoded)


def test_seeds_matter_exactly_where_the_card_says_so(spec, model, images):
    codes = model.encode(images)
    same = torch.equal(model.decode(codes, [0, 1, 2]), model.decode(codes, [3, 4, 5]))
    assert same == (not spec.card.is_stochastic)


def test_batch_mates_do_not_matter(model, images):
    together = model.encode(images)
    decoded = model.decode(together, [0, 1, 2])
    for i in range(len(images)):
        alone = model.encode(images[i : i + 1])
        assert_same(alone, picked(together, [i]))
        assert torch.equal(model.decode(alone, [i]), decoded[i : i + 1])
    turned = model.decode(picked(together, [2, 0, 1]), [2, 0, 1])
    assert torch.equal(turned, decoded[[2, 0, 1]])


def test_the_input_is_left_as_it_was(model, images):
    before = images.clone()
    codes = model.encode(images)
    kept = picked(codes, [0, 1, 2])
    model.decode(codes, [0, 1, 2])
    assert torch.equal(images, before)
    assert_same(codes, kept)


def test_bits_are_positive_and_those_of_the_card(spec, model, images):
    codes = model.encode(images)
    assert all(bits > 0 for bits in codes.bits())
    if spec.card.bits_per_image is not None:
        assert codes.bits() == (spec.card.bits_per_image,) * 3
    if spec.card.num_tokens is not None:
        assert codes.codes.shape == (3, spec.card.num_tokens)
        assert codes.codebook_size == spec.card.codebook_size
    if budget := re.fullmatch(r".*@(\d+)B", spec.card.name):
        assert max(codes.bits()) <= 8 * int(budget[1])


def test_pictures_need_not_be_square_where_any_size_goes(spec, model):
    if spec.card.sizes_px:
        pytest.skip("has sizes of its own")
    images = to_signed(torch.arange(3 * 40 * 56).remainder(256).to(torch.uint8).view(1, 3, 40, 56))
    codes = model.encode(images)
    assert codes.size_px == (40, 56)
    assert model.decode(codes, [0]).shape == images.shape


def test_cards_are_complete(spec):
    card = spec.card
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*(@\d+B?)?", card.name)
    assert card.family
    assert card.summary
    assert not card.summary.endswith(".")
