"""Codecs, identity and resize: exact bytes, budgets kept, the best scale found."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from layton_bench import LoadContext, ModelPattern, ModelSpec, UserError, to_signed, to_uint8
from layton_bench_codecs import budget, formats, layton_bench_register_models
from layton_bench_codecs.formats import FORMATS

AVIF = pytest.mark.skipif(not FORMATS["avif"].is_available(), reason="Pillow without AVIF")
EVERY_FORMAT = [pytest.param(name, marks=AVIF if name == "avif" else ()) for name in FORMATS]


def spec_of(name: str) -> ModelSpec:
    """The model of that name, through the plugin's own hook."""
    entries: list[ModelSpec | ModelPattern] = []
    layton_bench_register_models(entries.append)
    for entry in entries:
        if isinstance(entry, ModelSpec) and entry.card.name == name:
            return entry
        if isinstance(entry, ModelPattern) and (match := entry.pattern.fullmatch(name)):
            return entry.make_spec(match)
    raise KeyError(name)


def load(name: str):
    return spec_of(name).load(LoadContext(device="cpu", dtype="float32", weights=lambda _: None))


def photo(size: int = 128) -> Image.Image:
    import skimage.data

    return Image.fromarray(skimage.data.astronaut()[:size, 130 : 130 + size])


def as_images(*pictures: Image.Image) -> torch.Tensor:
    pixels = [torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures]
    return to_signed(torch.stack(pixels))


def mse(a: Image.Image, b: Image.Image) -> float:
    return float(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean())


def as_pictures(images: torch.Tensor) -> list[Image.Image]:
    pixels = to_uint8(images, "round").permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(np.ascontiguousarray(image)) for image in pixels]


def test_identity_returns_every_level_of_every_channel():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = to_signed(torch.cat([levels, levels.flip(3), levels.flip(2)], dim=1))
    model = load("identity")
    codes = model.encode(images)
    assert codes.bits() == (24.0 * 256,)
    assert torch.equal(model.decode(codes, [0]), images)


def test_identity_of_pictures_that_are_not_square():
    images = torch.rand(3, 3, 5, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model = load("identity")
    decoded = model.decode(model.encode(images), [0, 0, 0])
    assert decoded.shape == images.shape
    assert (decoded - images).abs().max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("name", ["jpeg-q10", "webp-q30", "jpeg2000-q30"])
def test_a_codec_at_a_quality_is_what_pillow_writes(name):
    options = {
        "jpeg-q10": {"format": "JPEG", "quality": 10},
        "webp-q30": {"format": "WEBP", "quality": 30, "method": 6},
        "jpeg2000-q30": {
            "format": "JPEG2000",
            "quality_mode": "dB",
            "quality_layers": [30],
            "irreversible": True,
            "no_jp2": True,
            "comment": " ",
        },
    }[name]
    buffer = io.BytesIO()
    photo().save(buffer, **options)
    model = load(name)
    codes = model.encode(as_images(photo(), photo()))
    assert codes.payloads == (buffer.getvalue(),) * 2
    assert codes.bits() == (8.0 * len(buffer.getvalue()),) * 2
    decoded = as_pictures(model.decode(codes, [0, 1]))
    assert mse(decoded[0], Image.open(buffer).convert("RGB")) == 0


@AVIF
def test_avif_at_a_quality():
    model = load("avif-q40")
    codes = model.encode(as_images(photo()))
    assert codes.payloads[0][4:12] == b"ftypavif"
    assert mse(as_pictures(model.decode(codes, [0]))[0], photo()) < 80


def test_jpeg_file_of_the_parity_data_is_reproduced(shared):
    folder = shared / "parity" / "metrics" / "images"
    model = load("jpeg-q10")
    picture = Image.open(folder / "espresso.png").convert("RGB")
    [decoded] = as_pictures(model.decode(model.encode(as_images(picture)), [0]))
    wanted = Image.open(folder / "distorted" / "espresso_jpeg10.jpg").convert("RGB")
    # another libjpeg may round a coefficient otherwise
    assert mse(decoded, wanted) < 0.5


@pytest.mark.parametrize("name", EVERY_FORMAT)
@pytest.mark.parametrize("extra", [0, 60, 400])
def test_no_file_exceeds_its_budget(name, extra):
    form = FORMATS[name]
    most = formats.smallest_budget(form) + extra
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    pixels = [Image.new("RGB", (1, 1), tuple(rgb)) for rgb in noise[0, :20].tolist()]
    for picture in (photo(96), Image.fromarray(noise), *pixels):
        payload = budget.encode_within(picture, form, most)
        assert len(payload) <= most
        restored = budget.restore(payload, form, (picture.height, picture.width))
        assert restored.size == picture.size


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_more_bytes_are_never_worse(name):
    form, picture = FORMATS[name], photo(96)
    smallest = formats.smallest_budget(form)
    budgets = (smallest + 40, smallest + 300, smallest + 1500)
    errors = [
        mse(budget.restore(budget.encode_within(picture, form, b), form, (96, 96)), picture)
        for b in budgets
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_at_full_size_the_highest_quality_that_fits_is_taken():
    form, picture = FORMATS["jpeg"], photo(96)
    sizes = [len(formats.encode_at_quality(picture, form, q)) for q in form.qualities]
    most = 3000
    best = max(q for q, size in zip(form.qualities, sizes, strict=True) if size <= most)
    got = budget.encode_within(picture, form, most)
    assert got == formats.encode_at_quality(picture, form, best)
    assert sizes[-1] > most


def test_where_no_quality_fits_the_best_scale_is_found():
    form, picture, most = FORMATS["webp"], photo(128), 300
    assert len(formats.encode_at_quality(picture, form, 0)) > most
    errors = {}
    for step in range(15):  # every scale and every quality, by brute force
        side = max(1, round(128 * 2 ** (-step / 2)))
        small = picture.resize((side, side), Image.Resampling.LANCZOS)
        for quality in form.qualities:
            payload = formats.encode_at_quality(small, form, quality)
            if len(payload) <= most:
                errors[side, quality] = mse(budget.restore(payload, form, (128, 128)), picture)
    payload = budget.encode_within(picture, form, most)
    got = mse(budget.restore(payload, form, (128, 128)), picture)
    # at a scale the search takes the highest quality, which may be beaten by a lower one by a hair
    assert got <= 1.02 * min(errors.values())
    largest = max(side for side, _ in errors)
    at_largest = min(error for (side, _), error in errors.items() if side == largest)
    assert got < at_largest


def test_a_format_that_cannot_meet_a_budget_says_what_it_can():
    with pytest.raises(UserError) as error:
        spec_of("jpeg@448B")
    smallest = formats.smallest_budget(FORMATS["jpeg"])
    assert smallest > 600  # the standard tables
    assert error.value.thing == "model 'jpeg@448B'"
    assert f"JPEG needs {smallest} bytes for its headers and tables alone" in error.value.reason
    assert f"jpeg@{smallest}B" in error.value.remedy
    spec_of(f"jpeg@{smallest}B")
    spec_of("jpeg-optimized@448B")


def test_a_single_pixel_that_does_not_fit_is_an_error_not_a_file(monkeypatch):
    form = FORMATS["jpeg"]
    with pytest.raises(UserError, match="smallest budget it can meet"):
        budget.encode_within(photo(16), form, 100)
    monkeypatch.setattr(budget, "smallest_budget", lambda _: 50)
    with pytest.raises(UserError, match="not fit, even as a single pixel"):
        budget.encode_within(photo(16), form, 100)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("jpeg-q0", "jpeg-q1"),
        ("jpeg-q101", "jpeg-q100"),
        ("webp-q300", "webp-q100"),
        ("jpeg2000-q5", "jpeg2000-q10"),
        ("resize-0", "resize-256"),
    ],
)
def test_a_number_out_of_range_is_refused_with_a_near_one(name, remedy):
    with pytest.raises(UserError, match=re.escape(remedy)):
        spec_of(name)


def test_a_format_this_pillow_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(formats.features, "check", lambda _: False)
    with pytest.raises(UserError, match="built without WebP"):
        spec_of("webp-q30")


@pytest.mark.parametrize("name", ["jpeg", "webp@448", "webp@B", "webp-q", "gif-q3", "jpeg-q1.5"])
def test_other_names_are_left_to_others(name):
    with pytest.raises(KeyError):
        spec_of(name)


def test_resize_costs_what_the_adapter_costs():
    images = as_images(photo(128))
    model = load("resize-64")
    codes = model.encode(images)
    assert codes.bits() == (24.0 * 64 * 64,)
    assert spec_of("resize-64").card.bits_per_image == 24 * 64 * 64
    assert codes.size_px == (128, 128)
    [decoded] = as_pictures(model.decode(codes, [0]))
    by_pillow = photo(128).resize((64, 64), Image.Resampling.BICUBIC)
    by_pillow = by_pillow.resize((128, 128), Image.Resampling.BICUBIC)
    # two implementations of one filter, rounded in between
    assert mse(decoded, by_pillow) < 0.5
    assert 10 < mse(decoded, photo(128)) < 1000


def test_resize_to_the_same_size_changes_nothing():
    images = as_images(photo(64))
    model = load("resize-64")
    assert torch.equal(model.decode(model.encode(images), [0]), images)


def test_a_payload_of_another_format_is_refused():
    payload = formats.encode_at_quality(photo(16), FORMATS["webp"], 50)
    with pytest.raises(OSError, match="cannot identify"):
        formats.decode(payload, FORMATS["jpeg"])


def test_cards_say_what_a_reader_must_know():
    card = spec_of("webp@448B").card
    assert (card.name, card.family) == ("webp@448B", "webp")
    assert card.summary == "WebP: the best file of at most 448 bytes per image"
    assert card.bits_per_image is None
    assert re.search(r"encoded by webp \d+\.\d+", card.notes)
    assert (
        spec_of("jpeg2000-q30").card.summary == "JPEG 2000 at PSNR in dB that OpenJPEG aims at 30"
    )
