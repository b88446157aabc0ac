"""The bilinear filter, bit for bit against OpenCV and by hand."""

import numpy as np
import pytest

from layton_bench.datasets.opencv_bilinear import resize_opencv_bilinear


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((375, 500), (256, 341)),
        ((500, 333), (384, 256)),
        ((100, 80), (320, 256)),
        ((61, 97), (61, 97)),
        ((1, 1), (5, 7)),
        ((3, 200), (17, 33)),
        ((512, 512), (256, 256)),
    ],
)
def test_bilinear_equals_opencv(source, target):
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
    size = (target[1], target[0])
    expected = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    assert (resize_opencv_bilinear(pixels, *size) == expected).all()


def test_twice_the_width_by_hand():
    """Centres are at half integers: the new pixels are at −1/4, 1/4, 3/4 and 5/4 of the old."""
    pixels = np.array([[[0] * 3, [200] * 3]], np.uint8)
    assert resize_opencv_bilinear(pixels, 4, 1)[0, :, 0].tolist() == [0, 50, 150, 200]


def test_one_colour_stays_one_colour():
    pixels = np.full((7, 5, 3), 201, np.uint8)
    assert (resize_opencv_bilinear(pixels, 31, 11) == 201).all()
