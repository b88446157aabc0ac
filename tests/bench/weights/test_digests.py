"""Digests of files and of folders."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from layton_bench.weights import digest_of, sha256_of


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "w") == digest_of(tmp_path / "w") == expected


def test_a_folder_has_the_digest_of_its_sorted_lines(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("z", "sub/a", ".hidden"):
        (tmp_path / name).write_text(name)
    lines = [f"{hashlib.sha256(n.encode()).hexdigest()}  {n}" for n in ("sub/a", "z")]
    assert digest_of(tmp_path) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_fifo_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        sha256_of(tmp_path / "pipe")
