"""Each depth and each packing against the formula: v of b bits → round(255 v / (2^b − 1))."""

import io
import struct
import zlib

import numpy as np
import pytest
from lab import file_bytes
from PIL import Image

from layton.errors import ImageError
from layton.images import decode_rgb

tifffile = pytest.importorskip("tifffile")

VALUES = np.random.default_rng(0).integers(0, 65536, (37, 53), dtype=np.uint16)
VALUES[0, :8] = (0, 128, 129, 25700, 65406, 65407, 65408, 65535)
COLOUR = np.stack([VALUES, VALUES[::-1], VALUES[:, ::-1]], axis=2)
ALPHA = VALUES[::-1, ::-1, None]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: np.ndarray, bits: int, colour_type: int, *, width: int, key: bytes = b"") -> bytes:
    """A PNG file of packed rows, by the specification's clause 5."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    transparent = chunk(b"tRNS", key) if key else b""
    parts = chunk(b"IHDR", header), transparent, chunk(b"IDAT", body), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png16(values: np.ndarray, colour_type: int, key: bytes = b"") -> bytes:
    rows = values.reshape(len(values), -1).astype(">u2")
    return png(rows, 16, colour_type, width=values.shape[1], key=key)


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode_rgb(data)).astype(int)


def eight(values: np.ndarray, bits: int = 16) -> np.ndarray:
    return np.rint(255 * values.astype(np.float64) / (2**bits - 1)).astype(int)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    part = eight(alpha) / 255
    return eight(colour) * part + 255 * (1 - part)


def pnm(values: np.ndarray, kind: int, largest: int = 65535) -> bytes:
    height, width = values.shape[:2]
    return b"P%d %d %d %d\n" % (kind, width, height, largest) + values.astype(">u2").tobytes()


@pytest.mark.parametrize(
    "data",
    [
        png16(VALUES, 0),
        pnm(VALUES, 5),
        tiff(VALUES),
        tiff(VALUES, byteorder=">"),
        tiff(VALUES, compression="zlib"),
        tiff(VALUES, compression="zlib", byteorder=">"),
        file_bytes(Image.fromarray(VALUES), "TIFF", compression="tiff_lzw"),
        tiff(65535 - VALUES, photometric="miniswhite"),
        tiff(65535 - VALUES, photometric="miniswhite", compression="zlib"),
    ],
)  # fmt: skip
def test_16_bit_grey(data):
    assert (pixels(data) == eight(VALUES)[..., None]).all()


@pytest.mark.parametrize(
    "data",
    [
        png16(COLOUR, 2),
        pnm(COLOUR, 6),
        *(
            tiff(COLOUR, photometric="rgb", byteorder=order, compression=compression)
            for order in "<>"
            for compression in (None, "zlib")
        ),
    ],
)
def test_16_bit_colour(data):
    assert (pixels(data) == eight(COLOUR)).all()


def test_interlaced_16_bit_colour():
    """Adam7's first pass alone holds a picture of one pixel."""
    one = COLOUR[:1, 3:4]
    data = bytearray(png16(one, 2))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert (pixels(bytes(data)) == eight(one)).all()


@pytest.mark.parametrize(
    "data",
    [
        png16(np.concatenate([COLOUR, ALPHA], axis=2), 6),
        tiff(np.concatenate([COLOUR, ALPHA], axis=2), photometric="rgb", extrasamples=[2]),
    ],
)
def test_16_bit_colour_and_alpha(data):
    assert np.abs(pixels(data) - over_white(COLOUR, ALPHA)).max() <= 1


def test_16_bit_grey_and_alpha():
    data = png16(np.concatenate([VALUES[..., None], ALPHA], axis=2), 4)
    assert np.abs(pixels(data) - over_white(VALUES[..., None], ALPHA)).max() <= 1


def test_16_bit_premultiplied_alpha():
    stored = (COLOUR.astype(np.int64) * ALPHA // 65535).astype(np.uint16)
    data = tiff(np.concatenate([stored, ALPHA], axis=2), photometric="rgb", extrasamples=[1])
    # Pillow divides the alpha out in whole levels before it is applied again
    assert np.abs(pixels(data) - over_white(COLOUR, ALPHA)).max() <= 3


def test_the_transparent_colour_of_16_bits_is_compared_with_all_16():
    near = COLOUR[:2].copy()
    near[1] = near[0] ^ 1  # another colour with the same high bytes
    data = png16(near, 2, key=near[0, 5].astype(">u2").tobytes())
    expected = eight(near)
    expected[0, 5] = 255
    assert (pixels(data) == expected).all()
    grey = near[..., 0]
    expected = np.where(grey == grey[0, 3], 255, eight(grey))[..., None]
    assert (pixels(png16(grey, 0, key=grey[0, 3].astype(">u2").tobytes())) == expected).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_and_their_transparent_level(bits):
    levels = np.arange(2**bits)
    packed = np.packbits(((levels[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8))
    expected = eight(levels, bits)
    data = png(packed[None], bits, 0, width=len(levels))
    assert (pixels(data)[0] == expected[:, None]).all()
    expected[1] = 255
    for key in (1, 2**bits - 1):
        data = png(packed[None], bits, 0, width=len(levels), key=struct.pack(">H", key))
        found = pixels(data)[0, :, 0]
        assert (found == np.where(levels == key, 255, eight(levels, bits))).all()


@pytest.mark.parametrize("largest", [100, 1023, 4095])
def test_a_netpbm_file_says_its_largest_level(largest):
    levels = np.array([[0, largest // 3, largest]])
    stored = levels.astype(np.uint8 if largest < 256 else ">u2").tobytes()
    data = b"P5 3 1 %d\n" % largest + stored
    assert (pixels(data)[..., 0] == np.rint(255 * levels / largest)).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(VALUES.astype(np.float32) / 65535), "floating-point pixels have no defined range"),
        (tiff(VALUES.astype(np.int16)), "signed pixels have no defined range"),
        (tiff(VALUES.astype(np.int8)), "signed pixels have no defined range"),
        (tiff(VALUES.astype(np.uint32)), "32-bit pixels have no defined range"),
        (tiff(VALUES / 65535), "a kind of its format that is not read"),
        (
            tiff(np.moveaxis(COLOUR, 2, 0), photometric="rgb", planarconfig="separate"),
            "stored one by one",
        ),
        (file_bytes(Image.new("F", (2, 2), 0.5), "TIFF"), "floating-point"),
        (file_bytes(Image.new("I", (2, 2), 70000), "TIFF"), "signed"),
        (b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5), "floating-point"),
    ],
)
def test_what_has_no_range_or_is_not_read_right_is_refused(data, reason):
    with pytest.raises(ImageError, match=reason):
        decode_rgb(data)


def jpeg2000(values: np.ndarray) -> bytes:
    cv2 = pytest.importorskip("cv2")
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    done, data = cv2.imencode(".jp2", values, lossless)
    assert done
    return data.tobytes()


def test_jpeg_2000():
    """Pillow's decoder turns white of 16-bit colour into black."""
    large = np.kron(VALUES[:4, :8], np.ones((32, 16), np.uint16))
    assert (pixels(jpeg2000(large)) == eight(large)[..., None]).all()
    with pytest.raises(ImageError, match="JPEG 2000 in colour is read with 8 bits only"):
        decode_rgb(jpeg2000(np.stack([large] * 3, axis=2)))
    eight_bits = (np.stack([large, large[::-1], large[:, ::-1]], axis=2) >> 8).astype(np.uint8)
    assert (pixels(jpeg2000(eight_bits)) == eight_bits[..., ::-1]).all()


def test_orientation_of_16_bits():
    upright = COLOUR[:5, :7]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.ascontiguousarray(np.rot90(upright, 1))
    data = png16(turned, 2)
    data = data[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + data[33:]
    assert (pixels(data) == eight(upright)).all()
