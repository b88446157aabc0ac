"""Names of pyiqa's files in the registry."""

from __future__ import annotations

import pytest

from layton_bench.weights import WEIGHTS, entry_name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("musiq_koniq_ckpt-e95806b9.pth", "pyiqa-musiq_koniq_ckpt"),
        ("QualiCLIP+_clive.pth", "pyiqa-qualiclip+_clive"),
        ("niqe_modelparameters.mat", "pyiqa-niqe_modelparameters"),
        ("vgg16-397923af.pth", "vgg16"),
        ("RN50.pt", "openai-clip-rn50"),
    ],
)
def test_every_file_has_a_name(file: str, name: str) -> None:
    assert entry_name(file) == name
    assert name in {entry.name for entry in WEIGHTS}


def test_no_two_files_share_a_name() -> None:
    names = [entry.name for entry in WEIGHTS]
    assert len(names) == len(set(names))


def test_the_digits_in_a_name_are_expected_of_the_file() -> None:
    (file,) = next(e for e in WEIGHTS if e.name == "pyiqa-pieappv0.1").files
    assert file.sha256 == "0937b014"
    (file,) = next(e for e in WEIGHTS if e.name == "pyiqa-arniqa").files
    assert file.sha256 is None
