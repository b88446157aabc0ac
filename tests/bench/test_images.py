import io
import struct
import threading
import zlib

import numpy as np
import pytest
import torch
from lab import file_bytes, picture
from PIL import Image, ImageFile
from places import GOLDEN

from layton_bench.errors import ImageError
from layton_bench.images import (
    MAX_PIXELS,
    ROUNDING_RULES,
    decode_rgb,
    encode_png,
    to_pil,
    to_signed,
    to_tensor,
    to_uint8,
)

PREPROCESS = GOLDEN / "preprocess.npz"


def decoded(image: Image.Image, form: str = "PNG", **options: object) -> np.ndarray:
    result = decode_rgb(file_bytes(image, form, **options))
    assert result.mode == "RGB"
    return np.asarray(result)


def one_pixel(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (4, 2), value)


@pytest.mark.parametrize(
    ("image", "form", "expected"),
    [
        (one_pixel("RGB", (10, 20, 30)), "PNG", (10, 20, 30)),
        (one_pixel("L", 77), "PNG", (77, 77, 77)),
        (one_pixel("1", 1), "PNG", (255, 255, 255)),
        # over white: 0.25 · 200 + 0.75 · 255 with alpha 64 / 255
        (one_pixel("RGBA", (200, 0, 100, 64)), "PNG", (241, 191, 216)),
        (one_pixel("RGBA", (200, 0, 100, 0)), "PNG", (255, 255, 255)),
        (one_pixel("LA", (0, 128)), "PNG", (127, 127, 127)),
        # 16 bit: 0, 257 · 100, and the largest
        (one_pixel("I;16", 0), "PNG", (0, 0, 0)),
        (one_pixel("I;16", 25700), "PNG", (100, 100, 100)),
        (one_pixel("I;16", 65535), "PNG", (255, 255, 255)),
        (one_pixel("I;16", 25700), "TIFF", (100, 100, 100)),
        (one_pixel("CMYK", (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (one_pixel("CMYK", (255, 0, 0, 128)), "TIFF", (0, 127, 127)),
    ],
)
def test_every_pixel_format_becomes_rgb(image, form, expected):
    pixels = decoded(image, form)
    assert pixels.shape == (2, 4, 3)
    assert (pixels == expected).all(), pixels[0, 0]


def test_16_bit_values_round_to_the_nearest_level():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = decoded(Image.fromarray(values))
    assert (pixels[..., 0] == np.rint(values / 257)).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_palette_with_a_transparent_entry_shows_the_background():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert decoded(image).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert decoded(image, transparency=1).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_rgb_with_a_transparent_colour_shows_the_background():
    image = one_pixel("RGB", (10, 20, 30))
    assert (decoded(image, transparency=(10, 20, 30)) == 255).all()


def test_cmyk_jpeg_is_close_to_its_colour():
    image = one_pixel("CMYK", (0, 255, 255, 0)).resize((16, 16))
    assert np.abs(decoded(image, "JPEG", quality=95).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation):
    upright = np.asarray(picture(3, (7, 5)))
    # how the eight orientations store an upright picture, by EXIF 2.3's table
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned))
    assert (decoded(stored, exif=exif) == upright).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_lose_the_picture():
    image = picture(1, (8, 8))
    data = file_bytes(image, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    plain = file_bytes(image, "JPEG")
    assert (np.asarray(decode_rgb(data)) == np.asarray(decode_rgb(plain))).all()


def test_first_frame_of_an_animation():
    frames = [one_pixel("RGB", (255, 0, 0)), one_pixel("RGB", (0, 0, 255))]
    pixels = decoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels == (255, 0, 0)).all()


def test_empty_file():
    with pytest.raises(ImageError, match=r"^the file is empty \(0 bytes\)$"):
        decode_rgb(b"")


def test_not_an_image():
    with pytest.raises(
        ImageError, match=r"^not an image in any known format \(it starts with 68 65 6c 6c 6f\)$"
    ):
        decode_rgb(b"hello")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file(form, share):
    data = file_bytes(picture(2, (120, 90)), form)
    with pytest.raises(ImageError) as caught:
        decode_rgb(data[: int(len(data) * share)])
    message = str(caught.value)
    assert message.startswith(("cannot be decoded: ", "not an image in any known format"))
    assert "\n" not in message
    if form == "JPEG":
        assert "truncated" in message


def test_truncation_is_an_error_even_if_another_library_allows_it(monkeypatch):
    data = file_bytes(picture(2, (120, 90)), "JPEG")[:2000]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError, match="truncated"):
        decode_rgb(data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 20_000, 60_000])
def test_decompression_bomb_is_refused_before_it_is_decoded(side):
    with pytest.raises(ImageError, match=f"^too large: .*more than {MAX_PIXELS:,} pixels$"):
        decode_rgb(png_header(side, side))


def test_bomb_is_refused_where_warnings_are_errors_too():
    with pytest.raises(ImageError, match="too large"):
        decode_rgb(png_header(9_500, 9_500))


def test_pixels_without_a_range_are_refused():
    with pytest.raises(ImageError, match="floating-point pixels have no defined range"):
        decode_rgb(file_bytes(Image.new("F", (2, 2), 0.5), "TIFF"))
    with pytest.raises(ImageError, match=r"integer pixels of 70000\.\.70000 are outside 16 bits"):
        decode_rgb(file_bytes(Image.new("I", (2, 2), 70000), "TIFF"))


def test_decoding_on_many_threads_gives_the_same():
    data = [file_bytes(picture(seed, (64, 48)), "JPEG") for seed in range(8)]
    alone = [np.asarray(decode_rgb(d)) for d in data]
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        found[i] = np.asarray(decode_rgb(data[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((found[i] == alone[i]).all() for i in range(8))


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


def test_decoded_picture_outlives_its_file():
    image = decode_rgb(file_bytes(picture(5, (30, 20)), "JPEG"))
    again = image.crop((0, 0, 10, 10)).resize((5, 5))
    assert np.asarray(again).shape == (5, 5, 3)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    assert buffer.tell() > 0
