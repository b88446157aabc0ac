"""PSNR, SSIM and MS-SSIM on a machine where OpenCV cannot be imported."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from pixel_batches import batch_of, score
from pixel_cases import distorted, photo

from layton_bench.errors import UserError
from layton_bench.metrics.pairs import pyiqa
from layton_bench.metrics.pairs.opencv import opencv


@pytest.fixture
def no_opencv(monkeypatch):
    """As on a server without libGL: ``import cv2`` raises ImportError."""
    opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    yield
    opencv.cache_clear()


@pytest.fixture
def batch():
    kinds = ("blur2", "noise25", "cast")
    return batch_of([distorted("coffee", kind) for kind in kinds], [photo("coffee")] * 3)


# whole numbers are the same; the filter adds eleven numbers in another order
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("psnr", 0), ("psnr-pooled", 0), ("ssim", 1e-14), ("ssim-skimage", 1e-14), ("ms-ssim", 1e-14)],
)
def test_values_are_the_same(name, tolerance, batch, request):
    by_opencv = score(name, batch)
    batch.memo.clear()
    request.getfixturevalue("no_opencv")
    assert opencv() is None
    assert score(name, batch).value == pytest.approx(by_opencv.value, rel=tolerance, abs=tolerance)


@pytest.mark.usefixtures("no_opencv")
def test_it_is_said_once(caplog):
    caplog.set_level(logging.WARNING)
    assert opencv() is opencv() is None
    assert len([r for r in caplog.records if "OpenCV cannot be imported" in r.message]) == 1


@pytest.mark.usefixtures("no_opencv")
def test_a_run_has_all_its_metrics(bench):
    done = bench("run", "--suite", "photos-256", "--model", "jpeg-q10", "--limit", "2", "--strict")
    assert done.code == 0, done.err
    (record,) = done.records
    assert {"psnr", "ssim", "ms-ssim"} <= set(record.metrics)
    assert all(result.unavailable is None for result in record.metrics.values())
    assert 20 < record.metrics["psnr"].value < 35
    assert 0.5 < record.metrics["ssim"].value < record.metrics["ms-ssim"].value < 1


@pytest.mark.usefixtures("no_opencv")
def test_pyiqa_names_the_library_and_the_remedy(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("pyiqa", "facexlib")]:
        monkeypatch.delitem(sys.modules, name)
    match = re.fullmatch(r"pyiqa:(?P<name>.+)", "pyiqa:fsim")
    with pytest.raises(UserError, match=r"cv2.*opencv-python-headless"):
        pyiqa.SPECS[0].make_spec(match)
