"""The child's side, which is copied into other environments."""

from pathlib import Path

import numpy as np
import pytest
import torch

from layton_bench.models.external.child import layton_bench_child as child


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "i4", "i2", "u1", ">f4", ">i8"])
def test_npy_files_with_and_without_numpy(tmp_path: Path, monkeypatch, dtype: str) -> None:
    values = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", values)
    plain = child._read_array(tmp_path / "a.npy")
    assert plain.shape == (2, 3, 4)
    assert list(plain.values) == list(range(24))
    child.write_npy(tmp_path / "b.npy", plain)
    again = np.load(tmp_path / "b.npy")
    assert again.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(again, values)
    assert (tmp_path / "b.npy").read_bytes()[:128].index(b"\n") % 64 == 63  # aligned as asked
    with pytest.raises(ValueError, match="23 values for shape"):
        child.write_npy(tmp_path / "c.npy", child.Array((2, 3, 4), plain.values[:-1]))


def test_torch_tensors_of_a_child_may_be_bfloat16(tmp_path: Path) -> None:
    child.write_npy(tmp_path / "x.npy", torch.tensor([0.5, -2.0], dtype=torch.bfloat16))
    assert np.load(tmp_path / "x.npy").tolist() == [0.5, -2.0]
