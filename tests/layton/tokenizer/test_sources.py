"""Files of weights are found at paths, in folders and on the hub."""

from pathlib import Path

import huggingface_hub
import pytest

from layton import CheckpointError, MissingPartError
from layton.tokenizer.sources import locate


@pytest.fixture
def hub(monkeypatch):
    """Record what is asked of the hub; every file is there."""
    asked = []

    def download(repository, file):
        asked.append((repository, file))
        return f"/cache/{repository}/{file}"

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_files_and_our_own_folders(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"")
    assert locate(tmp_path / "x.pth", None) == (tmp_path / "x.pth", None)
    (tmp_path / "model.safetensors").write_bytes(b"")
    found = tmp_path / "model.safetensors", tmp_path / "config.json"
    assert locate(str(tmp_path), None) == found
    assert locate("layton-tiny", None)[0].name == "model.safetensors"


def test_a_folder_as_the_official_files_are_downloaded(tmp_path):
    for name in ("README.md", "LaCTok-T.pth", "LaCTokGen-T.pth"):
        (tmp_path / name).write_bytes(b"")
    for name in (None, "layton-t-star", "layton-t-star-2steps"):
        assert locate(tmp_path, name) == (tmp_path / "LaCTok-T.pth", None)
    # of another model two files could be meant
    with pytest.raises(CheckpointError, match="and 3 other files of weights"):
        (tmp_path / "mine.pt").write_bytes(b"")
        (tmp_path / "LaCTok-T.pth").rename(tmp_path / "LaCTok.pth")
        locate(tmp_path, "layton-h")


def test_a_folder_with_one_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors, and 0 other files"):
        locate(tmp_path, None)
    (tmp_path / "own.ckpt").write_bytes(b"")
    assert locate(tmp_path, "layton-h") == (tmp_path / "own.ckpt", None)


def test_published_names_and_hub_ids(hub):
    file = ("OPPOer/LaCTok", "LaCTok-T.pth")
    for source, name in (
        ("layton-t-star", "layton-t-star"),
        ("layton-t-star-2steps", None),
        ("OPPOer/LaCTok", None),
        ("OPPOer/LaCTok", "layton-t-star"),
    ):
        hub.clear()
        assert locate(source, name) == (Path("/cache/OPPOer/LaCTok/LaCTok-T.pth"), None)
        assert hub == [file]
    hub.clear()
    weights, config = locate("someone/their-layton", "layton-h")
    assert weights == Path("/cache/someone/their-layton/model.safetensors")
    assert config == Path("/cache/someone/their-layton/config.json")
    with pytest.raises(MissingPartError, match="no file of it is published"):
        locate("layton-h", "layton-h")
    with pytest.raises(CheckpointError, match="no such file, folder or model"):
        locate("./nowhere/at-all", None)


def test_a_hub_that_fails_is_named(monkeypatch):
    def fail(repository, file):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(CheckpointError, match=r"OPPOer/LaCTok: cannot be fetched \(no network\)"):
        locate("layton-t-star", None)
