"""Moments merged and in blocks, and files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_sets import distance_of_rows

from layton_bench.errors import UserError
from layton_bench.metrics.sets.frechet import (
    frechet_distance,
)
from layton_bench.metrics.sets.moments import Moments, read_statistics, write_statistics


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_a_common_offset_changes_nothing(offset: float) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((200, 20)), 1.5 * rng.standard_normal((150, 20)) + 0.2
    assert distance_of_rows(first + offset, second + offset) == pytest.approx(
        distance_of_rows(first, second), rel=1e-8
    )


@pytest.mark.parametrize("cuts", [(1,), (7, 8), (50, 100, 150), tuple(range(1, 200))])
def test_merging_equals_the_whole(cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    rows = (rng.standard_normal((200, 30)) * np.logspace(2, -4, 30) + 40).astype(np.float32)
    other = Moments.of_rows(rng.standard_normal((100, 30)))
    parts = [Moments.of_rows(part) for part in np.split(rows, cuts)]
    rng.shuffle(parts)  # type: ignore[arg-type]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    whole = Moments.of_rows(rows)
    assert merged.n == whole.n == 200
    assert frechet_distance(merged, other) == pytest.approx(
        frechet_distance(whole, other), rel=1e-10
    )
    np.testing.assert_allclose(merged.covariance, np.cov(rows.T.astype(float)), atol=1e-9)


def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).standard_normal((500, 12)) + 5
    whole = Moments.of_rows(rows)
    monkeypatch.setattr("layton_bench.metrics.sets.moments._BLOCK_ROWS", 64)
    by_blocks = Moments.of_rows(rows)
    np.testing.assert_allclose(by_blocks.covariance, whole.covariance, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(by_blocks.mean, rows.mean(0), rtol=1e-13)


def test_files_are_read_by_pytorch_fid_and_back(tmp_path: Path) -> None:
    rows = np.random.default_rng(8).standard_normal((50, 6))
    moments, spatial = Moments.of_rows(rows), Moments.of_rows(rows[:, :3])
    write_statistics(tmp_path / "s.npz", moments, spatial)
    with np.load(tmp_path / "s.npz") as file:  # what pytorch-fid and guided-diffusion look up
        assert sorted(file) == ["mu", "mu_s", "sigma", "sigma_s"]
        np.testing.assert_allclose(file["mu"], rows.mean(0))
        np.testing.assert_allclose(file["sigma"], np.cov(rows, rowvar=False), atol=1e-14)
    for tap, wanted in (("pool3", moments), ("spatial", spatial)):
        read = read_statistics(tmp_path / "s.npz", tap=tap)
        np.testing.assert_allclose(read.covariance, wanted.covariance, atol=1e-13)
        assert frechet_distance(read, wanted) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="unknown size"):
        read_statistics(tmp_path / "s.npz").merged(moments)


def test_reference_batches_with_images_are_read(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "adm.npz", arr_0=np.zeros((2, 4, 4, 3), np.uint8), mu=np.ones(3),
        sigma=np.eye(3), mu_s=np.zeros(2), sigma_s=2 * np.eye(2),
    )  # fmt: skip
    assert read_statistics(tmp_path / "adm.npz").mean.tolist() == [1, 1, 1]
    read = read_statistics(tmp_path / "adm.npz", tap="spatial").covariance
    np.testing.assert_allclose(read, 2 * np.eye(2), rtol=1e-14, atol=1e-15)


BAD = {
    "lacking": {"mu": np.ones(3)},
    "shapes": {"mu": np.ones(3), "sigma": np.eye(4)},
    "nan": {"mu": np.array([np.nan, 0]), "sigma": np.eye(2)},
    "crooked": {"mu": np.zeros(2), "sigma": np.array([[1.0, 0.5], [0.0, 1.0]])},
    "objects": {"mu": np.array([None]), "sigma": np.eye(1)},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "bad.npz", **BAD[name])
    with pytest.raises(UserError, match=r"bad.npz: it holds no reference statistics"):
        read_statistics(tmp_path / "bad.npz")


def test_no_file_and_no_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_statistics(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("mu")
    with pytest.raises(UserError, match="holds no reference statistics"):
        read_statistics(tmp_path / "text.npz")
