"""A JPEG that lacks data is refused, and a whole one gives the pixels that Pillow gives."""

import io
import itertools
import struct

import numpy as np
import pytest
from lab import file_bytes
from PIL import Image
from places import ROOT

from layton.errors import ImageError
from layton.images import decode_rgb

END = b"\xff\xd9"


def photo(seed: int = 0, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Smooth colours with some grain, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[1] // 16 + 2, size[0] // 16 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    grain = rng.normal(0, 6, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


FORMS = [
    dict(
        zip(
            ("mode", "progressive", "subsampling", "restart_marker_rows", "optimize"),
            v,
            strict=True,
        )
    )
    for v in itertools.product(("RGB", "L", "CMYK"), (False, True), (0, 2), (0, 2), (False, True))
]


def jpeg(image: Image.Image, *, mode: str = "RGB", **options: object) -> bytes:
    if mode == "CMYK":  # with something in the black, whose scan is the last
        image = Image.merge("CMYK", [*image.split(), image.convert("L")])
    return file_bytes(image.convert(mode), "JPEG", quality=85, **options)


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def scan_data(data: bytes) -> tuple[int, int]:
    """Where the data of the last scan begin and end."""
    start = data.rfind(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big"), len(data) - 2


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_whole_files_load_and_cut_ones_do_not(form):
    data = jpeg(photo(), **form)
    for tail in (b"", b"trailing bytes", jpeg(photo(1, (16, 16)))):
        assert (np.asarray(decode_rgb(data + tail)) == by_pillow(data)).all()
    start, end = scan_data(data)
    for share in (0.02, 0.3, 0.5, 0.9, 0.98):
        cut = data[: start + int((end - start) * share)]
        for tail in (END, END + b"trailing bytes", END + jpeg(photo(1, (16, 16)))):
            with pytest.raises(ImageError, match="truncated"):
                decode_rgb(cut + tail)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 17), (64, 1), (3, 200)])
@pytest.mark.parametrize("progressive", [False, True])
def test_pictures_of_odd_sizes_are_whole(size, progressive):
    for image in (photo(2, size), Image.new("RGB", size, (128, 128, 128)), Image.new("L", size)):
        data = jpeg(image, mode=image.mode, progressive=progressive)
        assert (np.asarray(decode_rgb(data)) == by_pillow(data)).all()


def test_missing_scans_of_a_progressive_file():
    data = jpeg(photo(), progressive=True)
    starts = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    assert len(starts) > 4
    for start in starts[2:]:
        with pytest.raises(ImageError, match="truncated: the last scans are missing"):
            decode_rgb(data[:start] + END)


def test_a_component_that_no_scan_holds():
    """Three scans, one for each component, as some cameras write them, and then two."""
    data = split_in_scans(photo(0, (64, 48)))
    whole = np.asarray(decode_rgb(data)).astype(int)
    assert np.abs(whole - np.asarray(photo(0, (64, 48)))).mean() < 12
    last = data.rfind(b"\xff\xda")
    with pytest.raises(ImageError, match="truncated: a colour component is missing"):
        decode_rgb(data[:last] + END)
    with pytest.raises(ImageError, match="truncated"):
        decode_rgb(data[: (last + len(data)) // 2] + END)


def split_in_scans(image: Image.Image) -> bytes:
    """A baseline file with a scan for each component, made of three grey files of equal tables."""
    planes = [file_bytes(p, "JPEG", quality=85) for p in image.convert("YCbCr").split()]
    first = planes[0]
    frame = first.index(b"\xff\xc0")
    length = int.from_bytes(first[frame + 2 : frame + 4], "big")
    head = first[frame + 4 : frame + 9]
    components = b"".join(bytes((i, 0x11, 0)) for i in (1, 2, 3))
    sof = b"\xff\xc0" + struct.pack(">H", 8 + len(components)) + head + b"\x03" + components
    scans = b""
    for number, plane in enumerate(planes, start=1):
        start, end = scan_data(plane)
        scans += b"\xff\xda\0\x08\x01" + bytes((number, 0)) + b"\0\x3f\0" + plane[start:end]
    tables = first[frame + 2 + length : first.rfind(b"\xff\xda")]
    return first[:frame] + sof + tables + scans + END


@pytest.mark.parametrize("progressive", [False, True])
def test_a_header_that_claims_too_much(progressive):
    data = bytearray(jpeg(photo(), progressive=progressive))
    frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 2400, 2400)
    with pytest.raises(ImageError, match="truncated"):
        decode_rgb(bytes(data))


def test_a_thumbnail_in_the_header_is_not_taken_for_the_picture():
    exif = Image.Exif()
    exif[0x010F] = "maker " + "x" * 40
    thumbnail = jpeg(photo(3, (32, 32)))
    data = jpeg(photo(), exif=exif.tobytes() + thumbnail)
    assert (np.asarray(decode_rgb(data)) == by_pillow(data)).all()
    with pytest.raises(ImageError, match="truncated"):
        decode_rgb(data[: len(data) * 2 // 3] + END)


def test_several_pictures_in_one_file():
    data = file_bytes(photo(), "MPO", save_all=True, append_images=[photo(1), photo(2)])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    assert (np.asarray(decode_rgb(data)) == by_pillow(data)).all()
    end = data.index(END + b"\xff\xd8") if END + b"\xff\xd8" in data else data.index(END)
    with pytest.raises(ImageError, match="truncated"):
        decode_rgb(data[: end * 3 // 4] + data[end:])


def test_fill_bytes_before_markers():
    data = jpeg(photo())
    start = data.index(b"\xff\xda")
    padded = data[:start] + b"\xff\xff" + data[start:-2] + b"\xff\xff" + END
    assert (np.asarray(decode_rgb(padded)) == by_pillow(data)).all()


def test_real_photographs():
    paths = sorted((ROOT.parent / "shared" / "data").rglob("*.[jJ]*[gG]"))[::25]
    if not paths:
        pytest.skip("there are no photographs beside the repository")
    for path in paths:
        data = path.read_bytes()
        upright = by_pillow(data)
        assert sorted(decode_rgb(data).size) == sorted(upright.shape[:2])
        with Image.open(path) as image:
            is_upright = image.getexif().get(0x0112, 1) == 1
        if is_upright:
            assert (np.asarray(decode_rgb(data)) == upright).all()
        with pytest.raises(ImageError, match="truncated"):
            decode_rgb(data[: len(data) // 2] + END)
