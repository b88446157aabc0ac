"""A checkpoint is recognised by its keys and shapes, whatever else it carries."""

import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch import nn

from layton.errors import CheckpointError
from layton.tokenizer import VQ_16, named_model
from layton.tokenizer.config import VQ_8
from layton.tokenizer.model import Tokenizer
from layton.tokenizer.official import official_layout
from layton.tokenizer.vq_model import VQModel
from layton.weights import fingerprints
from layton.weights.checkpoint import load_strict
from layton.weights.fingerprints import codebook_digest, content_digest, fingerprint, recognise


def meta_state(config):
    with torch.device("meta"):
        return VQModel(config).state_dict()


def test_the_digest_is_of_sorted_names_and_shapes():
    # SHA-256 of "a 2,3\nb " in hexadecimal, worked out with sha256sum
    expected = "4cc0940d8f0ba36e"
    assert fingerprint({"b": (), "a": (2, 3)}) == expected
    assert fingerprint({"a": [2, 3], "b": [], "loss.d": [1], "q.codebook_used": [4]}) == expected
    assert fingerprint({"a": (3, 2), "b": ()}) != expected


def test_the_digest_of_a_codebook_is_of_its_float16_values():
    # of 1, -2, 0.5, 0 in float16 (00 3c 00 c0 00 38 00 00), worked out with sha256sum
    codebook = np.array([[1.0, -2.0], [0.5, 0.0]], np.float32)
    assert codebook_digest(codebook) == "2e1d6038edb9c7c8"
    assert codebook_digest(codebook.astype(np.float16)) == codebook_digest(codebook * 1.0001)
    assert codebook_digest(codebook[::-1]) != codebook_digest(codebook)


def test_published_tokenizers_are_recognised_from_their_state():
    assert recognise(meta_state(VQ_8)) == ("llamagen-8",)
    assert recognise(meta_state(VQ_16)) == ("llamagen-16", "llamagen-16-t2i")
    assert recognise({"a": torch.ones(1)}) == ()


def test_the_full_size_tokenizer_has_the_released_keys_and_shapes():
    with torch.device("meta"):
        state = Tokenizer(named_model("layton-h").config).state_dict()
    released = official_layout(state, rank=64)
    assert len(released) == 4498
    assert recognise(released) == ("layton-h (LaCTok tokenizer, 1024 px)",)
    assert recognise(official_layout(state, rank=32)) == ()


def test_a_wrong_file_is_named_in_the_error():
    with pytest.raises(CheckpointError) as caught:
        load_strict(nn.Linear(1, 1), meta_state(VQ_8), source="vq_ds8_c2i.pt")
    assert "2 missing from the file:\n    bias\n    weight" in str(caught.value)
    assert caught.value.remedy == "These are the keys and shapes of llamagen-8."


def test_every_manifest_has_its_entry(shared):
    table = json.loads((files(fingerprints.__package__) / "fingerprints.json").read_text())
    ours = ("lactok", "layton", "llamagen", "maskgit", "sdxl", "taming", "tatitok", "titok")
    folder = shared / "parity/manifests"
    manifests = [path for path in sorted(folder.glob("*.json")) if path.name.startswith(ours)]
    assert len(manifests) >= 32
    for path in manifests:
        assert fingerprint(json.loads(path.read_text())["params"]) in table, path.name


def test_contents_of_one_layout_have_different_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "_BLOCK_BYTES", 1024)  # 256 KiB of a larger file are read
    rng = np.random.default_rng(0)
    data = bytearray(rng.bytes(3_000_000))
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    digest = content_digest([path])
    assert content_digest([path]) == digest
    assert len(digest) == 6
    for place in (0, 1023, 128 * (3_000_000 // 256), len(data) - 1):  # within a block
        changed = data.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        assert content_digest([path]) != digest
    path.write_bytes(data + b"\0")
    assert content_digest([path]) != digest
    path.write_bytes(data)
    # a fine-tuned model differs a little everywhere
    path.write_bytes(bytes(np.frombuffer(data, np.uint8) ^ (rng.random(len(data)) < 0.01)))
    assert content_digest([path]) != digest
    small = data[: 256 * 1024]  # read whole
    path.write_bytes(small)
    digest = content_digest([path])
    for place in (5_000, 131_071, 200_001):
        changed = small.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        assert content_digest([path]) != digest
    for content in (b"", b"x"):
        path.write_bytes(content)
        other = tmp_path / "other"
        other.write_bytes(content)
        assert content_digest([path]) != content_digest([other])
