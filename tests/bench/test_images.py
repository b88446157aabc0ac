import numpy as np
import pytest
import torch
from lab import picture
from PIL import Image
from places import GOLDEN

from layton_bench.errors import ImageError
from layton_bench.images import (
    ROUNDING_RULES,
    decode_rgb,
    encode_png,
    read_file,
    to_pil,
    to_signed,
    to_tensor,
    to_uint8,
)

PREPROCESS = GOLDEN / "preprocess.npz"


def test_a_file_that_cannot_be_used_is_an_error_of_the_harness(tmp_path):
    with pytest.raises(ImageError, match=r"^the file is empty \(0 bytes\)$"):
        decode_rgb(b"")
    with pytest.raises(ImageError, match=r"^no such file: a\.png$"):
        read_file(tmp_path / "a.png")


def test_model_and_harness_read_the_same_pixels(tmp_path):
    from layton.files import read_image

    grey = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    clear = picture(1, (64, 64)).convert("RGBA")
    clear.putalpha(Image.fromarray((grey >> 8).astype(np.uint8)))
    for image in (Image.fromarray(grey), clear):
        image.save(tmp_path / "a.png")
        expected = to_signed(to_tensor(decode_rgb(read_file(tmp_path / "a.png"))))
        assert torch.allclose(read_image(tmp_path / "a.png", 64), expected, atol=1e-6)


def test_png_round_trip_of_all_kinds():
    image = picture(4, (9, 6))
    pixels = np.asarray(image)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 6, 9)
    assert tensor.dtype == torch.uint8
    assert tensor[1, 2, 3] == pixels[2, 3, 1]
    for kind in (image, pixels, tensor, tensor.permute(1, 2, 0).contiguous().permute(2, 0, 1)):
        assert (np.asarray(decode_rgb(encode_png(kind))) == pixels).all()
    assert to_pil(image) is image


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)],
)
def test_arrays_that_are_no_rgb_are_refused(wrong):
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        to_pil(wrong)
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        to_tensor(wrong)


@pytest.mark.parametrize("rounding", ["round", "floor-128"])
def test_every_level_survives_signed_and_back(rounding):
    levels = torch.arange(256, dtype=torch.uint8)
    signed = to_signed(levels)
    assert signed.dtype == torch.float32
    assert signed[0] == -1
    assert signed[255] == 1
    assert torch.equal(to_uint8(signed, rounding), levels)


def test_rounding_rules_by_hand():
    # levels 0, 100.4, 100.5, 101.5, 255 and values outside, as (level / 127.5) - 1
    signed = torch.tensor([-1.0, 100.4 / 127.5 - 1, 100.5 / 127.5 - 1, 1.0, -3.0, 1.7])
    assert to_uint8(signed, "round").tolist() == [0, 100, 100, 255, 0, 255]
    assert to_uint8(signed, "floor-128").tolist() == [0, 100, 101, 255, 0, 255]
    assert to_uint8(signed, "truncate").tolist() == [0, 100, 100, 255, 0, 255]
    assert to_uint8(signed, "truncate-01").tolist() == [0, 100, 100, 255, 0, 255]
    # 101.5 is a tie as well, and exact here: halves go to the even level
    tie = torch.tensor([1.5 / 127.5 - 1, 2.5 / 127.5 - 1], dtype=torch.float64)
    assert to_uint8(tie, "truncate").tolist() == [1, 2]


def test_truncation_darkens_by_half_a_level():
    signed = torch.linspace(-1, 1, 100_001)
    means = {rule: to_uint8(signed, rule).double().mean() for rule in ROUNDING_RULES}
    assert abs(means["round"] - means["truncate"] - 0.5) < 0.01
    assert abs(means["round"] - means["truncate-01"] - 0.5) < 0.01
    assert abs(means["round"] - means["floor-128"]) < 0.01


@pytest.mark.parametrize("rounding", ROUNDING_RULES)
def test_rounding_leaves_its_input_alone(rounding):
    images = torch.linspace(-1.2, 1.2, 50).reshape(1, 1, 5, 10)
    before = images.clone()
    result = to_uint8(images, rounding)
    assert torch.equal(images, before)
    assert result.dtype == torch.uint8
    assert result.shape == images.shape
    half = to_uint8(images.bfloat16(), rounding)
    assert torch.equal(half, to_uint8(images.bfloat16().float(), rounding))


@pytest.mark.parametrize(
    ("rounding", "name"),
    [("floor-128", "llamagen_u8"), ("truncate", "taming_u8"), ("truncate-01", "lactok_u8")],
)
def test_rounding_equals_the_official_scripts(rounding, name):
    golden = np.load(PREPROCESS)
    result = to_uint8(torch.from_numpy(golden["signed"]), rounding)
    assert (result.numpy() == golden[name]).all()


@pytest.mark.parametrize(
    ("rounding", "name"), [("round", "titok_eval_u8"), ("truncate-01", "titok_demo_u8")]
)
def test_rounding_of_a_unit_range_decoder(rounding, name):
    golden = np.load(PREPROCESS)
    signed = torch.from_numpy(golden["unit"]) * 2 - 1
    assert (to_uint8(signed, rounding).numpy() == golden[name]).all()
