"""Files are refused by what is in them, if no digest is known."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.torch import save_file

from layton_bench.errors import MissingWeightsError
from layton_bench.weights.checks import checked_digest, format_problem

TENSORS = {"a": torch.arange(300.0), "b": torch.ones(2, 2)}


def write(path: Path) -> Path:
    """A sound file of the format that its suffix says."""
    match path.suffix:
        case ".safetensors":
            save_file(TENSORS, path, metadata={"format": "pt"})
        case ".pth" | ".pt" | ".ckpt" | ".bin":
            torch.save(TENSORS, path)
        case ".old":
            path = path.with_suffix(".pth")
            torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x", "y")
        case ".npz":
            np.savez(path, x=np.ones(3))
        case ".mat":
            scipy.io.savemat(path, {"x": np.ones(3)})
        case ".json":
            path.write_text('{"a": [1]}')
        case ".txt":
            path.write_text("größer\n")
    return path


KINDS = ("safetensors", "pth", "pt", "ckpt", "bin", "old", "zip", "npz", "mat", "json", "txt")


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_of_every_kind_are_taken(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"w.{kind}")
    assert format_problem(path, path.name) == ""


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "old"])
def test_pages_pointers_and_nothing_are_no_weights(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"w.{kind}"
    for content, problem in (
        (b"", "it is empty"),
        (b"\xef\xbb\xbf\n <!DOCTYPE HTML>\n<p>404", "a web page"),
        (b"<html>", "a web page"),
        (b'<?xml version="1.0"?><Error/>', "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of git-lfs"),
    ):
        path.write_bytes(content)
        assert problem in format_problem(path, path.name)


@pytest.mark.parametrize("kind", ["safetensors", "pth", "zip", "npz", "json"])
def test_a_file_that_is_cut_is_noticed(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"w.{kind}")
    path.write_bytes(path.read_bytes()[:-3])
    assert "it is not" in format_problem(path, path.name)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 8 + b"{}",
        (10**6).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        (2).to_bytes(8, "little") + b"{}" + b"more",
        b"short",
    ],
)
def test_headers_of_safetensors_that_lie(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert "a whole safetensors file" in format_problem(path, path.name)


def test_another_format_under_the_name_is_noticed(tmp_path: Path) -> None:
    plain = tmp_path / "x"
    plain.write_bytes(bytes(range(256)))
    for name in ("w.pth", "w.mat", "w.json", "w.txt", "w.safetensors", "w.zip"):
        assert format_problem(plain, name)
    assert format_problem(plain, "w.dat") == ""  # a suffix that says nothing


def test_a_whole_digest_is_enough_and_a_part_of_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"not a torch file")
    digest = hashlib.sha256(b"not a torch file").hexdigest()

    def check(sha256: str | None) -> str:
        return checked_digest(path, name="w.pth", source="S", sha256=sha256, remedy="R.")

    assert check(digest) == digest
    for known in (digest[:8], None):
        with pytest.raises(MissingWeightsError, match=r"S: it is not a whole file of torch.*R\."):
            check(known)
    with pytest.raises(MissingWeightsError, match=f"S: its SHA-256 is {digest}, expected 00"):
        check("00")
