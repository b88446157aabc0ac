"""The ten photographs that need no download."""

import numpy as np
import pytest

from layton_bench.datasets.fingerprints import fingerprint
from layton_bench.datasets.layouts.embedded import PHOTOS, open_photos
from layton_bench.errors import MissingDataError
from layton_bench.images import decode_rgb


def test_embedded_photographs_are_colour_photographs_of_a_fair_size():
    photos = open_photos()
    assert [item.key for item in photos.items()] == sorted(PHOTOS)
    assert len(photos.items()) == 10
    for item in photos.items():
        image = decode_rgb(photos.read(item))
        assert min(image.size) >= 300
        pixels = np.asarray(image.resize((64, 64))).astype(int)
        assert np.abs(pixels[..., 0] - pixels[..., 2]).mean() > 2, f"{item.key} is grey"


def test_embedded_photographs_are_those_of_the_packages():
    data = pytest.importorskip("skimage.data")
    datasets = pytest.importorskip("sklearn.datasets")
    photos = {item.key: decode_rgb(open_photos().read(item)) for item in open_photos().items()}
    assert (np.asarray(photos["astronaut"]) == data.astronaut()).all()
    assert (np.asarray(photos["chelsea"]) == data.cat()).all()
    assert (np.asarray(photos["immunohistochemistry"]) == data.immunohistochemistry()).all()
    assert (np.asarray(photos["china"]) == datasets.load_sample_image("china.jpg")).all()


def test_embedded_photographs_are_the_same_bytes_everywhere():
    """As in scikit-image 0.24.0 and 0.26.0, scikit-learn 1.5.0 and 1.9.1."""
    photos = open_photos()
    expected = "21b465bb34c27e81dfb08adaf0989cc42c2667ee575f463a25844ca325e8eeb6"
    assert fingerprint(photos, photos.items()) == expected


def test_embedded_photographs_lie_in_the_wheels():
    """None of them is there only because something downloaded it."""
    from importlib.metadata import files

    listed = {str(path) for name in ("scikit-image", "scikit-learn") for path in files(name) or ()}
    assert {f"{package}/{path}" for package, path in PHOTOS.values()} <= listed


def test_a_package_that_lacks_a_photograph_is_named(monkeypatch):
    monkeypatch.setitem(PHOTOS, "astronaut", ("skimage", "data/gone.png"))
    with pytest.raises(MissingDataError) as caught:
        open_photos()
    assert caught.value.thing.endswith("skimage/data/gone.png")
    assert "pip install" in caught.value.remedy
    monkeypatch.setitem(PHOTOS, "astronaut", ("no_such_package", "a.png"))
    with pytest.raises(MissingDataError, match="package no_such_package: it is not installed"):
        open_photos()
