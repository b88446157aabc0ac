import io
import random
import struct
import threading
import zlib

import numpy as np
import pytest
from lab import file_bytes, picture
from PIL import Image, ImageFile

from layton.errors import ImageError
from layton.images import MAX_PIXELS, MAX_SIDE_PX, decode_rgb


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
    with pytest.raises(ImageError, match=r"the file is empty \(0 bytes\)") as caught:
        decode_rgb(b"", name="a.png")
    assert caught.value.thing == "a.png"


def test_not_an_image():
    with pytest.raises(
        ImageError, match=r"not an image in any known format \(it starts with 68 65 6c 6c 6f\)"
    ):
        decode_rgb(b"hello")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file(form, share):
    data = file_bytes(picture(2, (120, 90)), form)
    with pytest.raises(ImageError) as caught:
        decode_rgb(data[: int(len(data) * share)])
    message = caught.value.reason
    assert message.startswith("cannot be decoded: ")
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
    with pytest.raises(ImageError, match=f"too large: .*more than {MAX_PIXELS:,} pixels"):
        decode_rgb(png_header(side, side))


def test_bomb_is_refused_where_warnings_are_errors_too():
    with pytest.raises(ImageError, match="too large"):
        decode_rgb(png_header(9_500, 9_500))


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


def test_decoded_picture_outlives_its_file():
    image = decode_rgb(file_bytes(picture(5, (30, 20)), "JPEG"))
    again = image.crop((0, 0, 10, 10)).resize((5, 5))
    assert np.asarray(again).shape == (5, 5, 3)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    assert buffer.tell() > 0


def webp_header(kind: bytes, width: int, height: int) -> bytes:
    """A WebP file that claims a size, without a picture."""
    if kind == b"VP8L":
        content = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 8
    elif kind == b"VP8X":
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        content = b"\0" * 4 + sides
    else:
        content = b"\x30\x01\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 6
    chunk = kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize("kind", [b"VP8L", b"VP8X", b"VP8 "])
def test_a_large_webp_is_refused_before_pillow_makes_room_for_it(kind, monkeypatch):
    def no_room(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(Image, "open", no_room)
    with pytest.raises(ImageError, match="too large: 16383 × 16383"):
        decode_rgb(webp_header(kind, 16_383, 16_383))
    with pytest.raises(ImageError, match="opened"):
        decode_rgb(webp_header(kind, 64, 48))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}])
def test_the_header_of_a_webp_says_its_size(options, monkeypatch):
    data = file_bytes(picture(1, (130, 70)), "WEBP", **options)
    assert decode_rgb(data).size == (130, 70)
    monkeypatch.setattr("layton.images.decoding.MAX_PIXELS", 130 * 70 - 1)
    with pytest.raises(ImageError, match="too large: 130 × 70"):
        decode_rgb(data)


@pytest.mark.parametrize("size", [(MAX_SIDE_PX + 1, 1), (1, MAX_SIDE_PX + 1), (89_478_485, 1)])
def test_an_extremely_long_picture_is_refused(size):
    with pytest.raises(ImageError, match=f"too large: a side of .* is over {MAX_SIDE_PX:,} pixels"):
        decode_rgb(png_header(*size))
    assert decode_rgb(file_bytes(Image.new("L", (MAX_SIDE_PX, 1)))).size == (MAX_SIDE_PX, 1)


def test_no_other_program_is_started_for_a_file(monkeypatch):
    """Pillow gives PostScript to Ghostscript, whatever the file is called."""
    import subprocess

    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **_: started.append(words))
    monkeypatch.setattr(subprocess, "check_call", lambda *words, **_: started.append(words))
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    for data in (page, b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, len(page)) + b"\0" * 20 + page):
        with pytest.raises(ImageError, match="not an image in any known format"):
            decode_rgb(data)
    assert started == []


def test_a_lab_picture_is_converted():
    """CIE 1976: L* 53.24, a* 80.09, b* 67.20 is sRGB red, up to the rounding of the three."""
    lab = Image.frombytes("LAB", (2, 2), bytes((round(53.24 * 2.55), 80, 67)) * 4)
    pixels = decoded(lab, "TIFF").astype(int)
    assert np.abs(pixels - (255, 0, 0)).max() <= 12, pixels[0, 0]


def test_a_colour_profile_is_not_applied():
    from PIL import ImageCms

    image = picture(2, (20, 20))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert (decoded(image, icc_profile=profile) == np.asarray(image)).all()


@pytest.mark.parametrize(
    ("form", "options", "end"),
    [
        ("PNG", {}, b"\0\0\0\0IEND\xaeB`\x82"),
        ("GIF", {}, b"\0;"),
        ("JPEG2000", {}, b"\xff\xd9"),
        ("JPEG2000", {"irreversible": True, "quality_layers": [20]}, b"\xff\xd9"),
        ("WEBP", {}, b""),
        ("WEBP", {"lossless": True}, b""),
        ("AVIF", {}, b""),
        ("TIFF", {"compression": "tiff_lzw"}, b""),
        ("BMP", {}, b""),
        ("PPM", {}, b""),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_part_with_an_end_mark_is_refused_in_every_format(form, options, end, share):
    data = file_bytes(picture(2, (160, 120)), form, **options)
    assert decode_rgb(data).size == (160, 120)
    part = data[: int(len(data) * share)] + end
    if form == "WEBP":  # the header says how long the file is
        part = part[:4] + struct.pack("<I", len(part) - 8) + part[8:]
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_rgb(part)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "JPEG2000"])
def test_damaged_files_raise_image_errors_alone(form):
    """Some damage cannot be noticed; then there is a picture of the size in the header."""
    dice = random.Random(form)
    sixteen = Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    images = [picture(0, (48, 40)), sixteen] if form in ("PNG", "TIFF") else [picture(0, (48, 40))]
    for image in images:
        whole = file_bytes(image, form)
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(dice.randrange(1, 5)):
                place = dice.randrange(min(len(data), 400) if dice.random() < 0.7 else len(data))
                data[place : place + dice.randrange(1, 5)] = dice.randbytes(dice.randrange(1, 5))
            try:
                assert decode_rgb(bytes(data)).mode == "RGB"
            except ImageError as error:
                assert error.reason
