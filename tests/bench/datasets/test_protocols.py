import numpy as np
import pytest
from lab import picture
from PIL import Image
from places import GOLDEN

from layton_bench.datasets.protocols import (
    PROTOCOLS,
    adm_center_crop,
    canonical,
    native,
    square_resize,
    taming_center_crop,
)
from layton_bench.errors import ImageError

PREPROCESS = GOLDEN / "preprocess.npz"
BY_NAME = {protocol.name: protocol for protocol in PROTOCOLS}
SQUARE = [protocol for protocol in PROTOCOLS if protocol.is_square]


def test_names_and_versions():
    assert [p.id for p in PROTOCOLS] == [
        "canonical@1",
        "adm-center-crop@1",
        "taming-center-crop@1",
        "square-resize@1",
        "native@1",
    ]


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("number", range(4))
def test_crops_equal_the_official_code(number, size):
    golden = np.load(PREPROCESS)
    image = Image.fromarray(golden[f"image{number}"])
    assert (adm_center_crop(image, size) == golden[f"adm_{number}_{size}"]).all()
    assert (canonical(image, size) == golden[f"tv_{number}_{size}"]).all()


@pytest.mark.parametrize("size_px", [64, 97])
@pytest.mark.parametrize("shape", [(640, 427), (427, 640), (333, 500), (128, 127), (211, 64)])
def test_canonical_equals_torchvision(shape, size_px):
    transforms = pytest.importorskip("torchvision.transforms")
    image = picture(1, shape)
    resize = transforms.Resize(
        size_px, interpolation=transforms.InterpolationMode.BICUBIC, antialias=True
    )
    expected = transforms.CenterCrop(size_px)(resize(image))
    assert (canonical(image, size_px) == np.asarray(expected)).all()


@pytest.mark.parametrize("protocol", SQUARE, ids=lambda p: p.name)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 200), (64, 64), (63, 65), (65, 63), (500, 128), (129, 500)]
)
def test_every_picture_becomes_a_square(protocol, shape):
    pixels = protocol.apply(picture(2, (shape[0] * 4, shape[1] * 4)).resize(shape), 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_square_of_the_size_is_left_alone(protocol):
    image = picture(3, (64, 64))
    assert (protocol.apply(image, 64) == np.asarray(image)).all()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_the_picture_itself_is_not_changed(protocol):
    image = picture(3, (100, 80))
    before = np.asarray(image).copy()
    protocol.apply(image, 32)
    assert (np.asarray(image) == before).all()


@pytest.mark.parametrize("crop", [canonical, adm_center_crop, taming_center_crop])
def test_the_centre_is_what_is_kept(crop):
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 64:128] = 200
    assert (crop(Image.fromarray(wide), 64) == 200).all()
    assert (crop(Image.fromarray(wide.transpose(1, 0, 2).copy()), 64) == 200).all()


def test_square_resize_keeps_the_borders():
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 96:] = 255
    squeezed = square_resize(Image.fromarray(wide), 64)
    assert (squeezed[:, :28] == 0).all()
    assert (squeezed[:, 36:] == 255).all()


def test_native_keeps_the_size():
    image = picture(1, (31, 17))
    assert (native(image, 0) == np.asarray(image)).all()


def test_what_counts_as_upscaled():
    crop = BY_NAME["canonical"]
    assert crop.is_upscaled((640, 255), 256)
    assert not crop.is_upscaled((256, 256), 256)
    assert not crop.is_upscaled((300, 257), 256)
    assert not BY_NAME["native"].is_upscaled((8, 8), 256)


@pytest.mark.parametrize("crop", [canonical, adm_center_crop, taming_center_crop])
def test_a_ribbon_is_refused_rather_than_filling_the_memory(crop):
    with pytest.raises(ImageError, match="too elongated to be cropped to a square: 5000 × 1 pix"):
        crop(Image.new("RGB", (5000, 1)), 256)


def test_taming_crop_is_not_antialiased():
    """At a quarter of the size, each pixel is the mean of the middle 2 × 2 of 4 × 4."""
    pixels = np.asarray(picture(6, (128, 128)))
    blocks = pixels.reshape(32, 4, 32, 4, 3)[:, 1:3, :, 1:3].astype(int)
    total = blocks.sum(axis=(1, 3))
    found = taming_center_crop(Image.fromarray(pixels), 32)
    assert np.abs(found - total / 4).max() <= 0.5
    assert np.abs(found.astype(int) - canonical(Image.fromarray(pixels), 32)).max() > 10


def test_taming_crop_rounds_the_longer_side_and_floors_the_offset():
    columns = np.arange(101, dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(columns[None, :, None], (32, 101, 3)).copy())
    found = taming_center_crop(image, 32)  # nothing is resized; offset (101 - 32) // 2 = 34
    assert (found == columns[34:66][None, :, None]).all()
