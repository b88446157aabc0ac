"""State dicts from disk: safe reading, unwrapping, and a report that names what differs."""

import argparse
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from layton.errors import CheckpointError
from layton.weights.checkpoint import load_model, load_strict, read_state


class _Runs:
    """Unpickling this would create a file: the classic attack."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("wrapper", ["ema", "model", "module", "state_dict", None])
def test_wrapped_state_dicts_are_opened(tmp_path, wrapper):
    state = nn.Linear(2, 3).state_dict()
    content = {wrapper: state, "steps": 7, "args": argparse.Namespace(lr=0.1)} if wrapper else state
    torch.save(content, tmp_path / "a.pt")
    read = read_state(tmp_path / "a.pt")
    assert read.keys() == state.keys()
    assert torch.equal(read["weight"], state["weight"])


def test_ema_is_preferred_and_common_prefixes_fall(tmp_path):
    weights = {"ema": {"module._orig_mod.a": torch.ones(1)}, "model": {"a": torch.zeros(1)}}
    torch.save(weights, tmp_path / "a.pt")
    assert read_state(tmp_path / "a.pt") == {"a": torch.ones(1)}
    assert read_state(tmp_path / "a.pt", wrappers=["model"]) == {"a": torch.zeros(1)}


def test_safetensors_and_old_pickles(tmp_path):
    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.ckpt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_state(tmp_path / "a.safetensors")["a"], state["a"])
    assert torch.equal(read_state(tmp_path / "b.ckpt")["a"], state["a"])


class _Callback:
    """A class of the training framework, kept by Lightning as the key of its state."""

    monitor = "val/rec_loss"


def test_lightning_checkpoints_load_without_lightning(tmp_path, monkeypatch):
    module = types.ModuleType("pytorch_lightning.callbacks")
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, "pytorch_lightning.callbacks", module)
    monkeypatch.setattr(_Callback, "__module__", "pytorch_lightning.callbacks")
    module._Callback = _Callback
    saved = {
        "callbacks": {_Callback: {"best": np.float64(1.5), "object": _Callback()}},
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "state_dict": {"a": torch.ones(2)},
    }
    torch.save(saved, tmp_path / "last.ckpt")
    monkeypatch.undo()
    assert read_state(tmp_path / "last.ckpt") == {"a": pytest.approx(torch.ones(2))}


def test_hugging_face_folders_are_read_through_their_weights(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "diffusion_pytorch_model.safetensors")
    assert read_state(tmp_path)["a"].sum() == 2
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert read_state(tmp_path)["a"].sum() == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds none of model\.safetensors"):
        read_state(tmp_path / "empty")


def test_hostile_and_broken_files_are_refused(tmp_path):
    hostile = tmp_path / "evil.pt"
    torch.save({"model": _Runs(tmp_path / "owned")}, hostile)
    with pytest.raises(CheckpointError, match="Only plain tensors"):
        read_state(hostile)
    hostile.write_bytes(pickle.dumps(_Runs(tmp_path / "owned")))
    with pytest.raises(CheckpointError):
        read_state(hostile)
    assert not (tmp_path / "owned").exists()
    for name, content in [("a.safetensors", b"short"), ("a.pt", b"PK\3\4 cut"), ("b.pt", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            read_state(tmp_path / name)
    torch.save({"epoch": 3}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="no tensors"):
        read_state(tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        read_state(tmp_path / "absent.pt")


def test_report_names_every_difference_and_loads_nothing():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = model[0].bias.clone()
    state = model.state_dict()
    state = {**state, "0.weight": torch.zeros(3, 5), "extra": torch.zeros(1)}
    state["0.bias"] = torch.full((3,), 9.0)
    del state["1.bias"]
    with pytest.raises(CheckpointError) as caught:
        load_strict(model, state, source="file.pt")
    message = str(caught.value)
    assert "file.pt: does not fit" in message
    assert "2 keys match" in message
    assert "1 missing from the file:\n    1.bias" in message
    assert "1 not in the model:\n    extra" in message
    assert "0.weight: file (3, 5), model (3, 2)" in message
    assert torch.equal(model[0].bias, before)


def test_meta_models_take_the_tensors_over():
    source = nn.Linear(2, 3).half()
    with torch.device("meta"):
        model = nn.Linear(2, 3)
    report = load_strict(model, source.state_dict(), source="file")
    assert report.num_matching == 2
    assert model.weight.dtype == torch.float16
    assert model.weight.data_ptr() == source.weight.data_ptr()
    assert isinstance(model.weight, nn.Parameter)


def test_a_module_is_built_and_filled_from_a_file(tmp_path):
    source = nn.Linear(2, 3).half()
    state = source.state_dict() | {"loss.weight": torch.ones(1)}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    model = load_model(lambda: nn.Linear(2, 3), tmp_path / "last.ckpt", ignore=("loss.",))
    assert not model.training
    assert torch.equal(model.weight, source.weight)
    with pytest.raises(CheckpointError, match=r"1 not in the model:\n    loss\.weight"):
        load_model(lambda: nn.Linear(2, 3), tmp_path / "last.ckpt")


def test_safetensors_are_told_by_their_content(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "last.ckpt")
    assert read_state(tmp_path / "last.ckpt")["a"].sum() == 2


def test_a_checkpoint_is_found_in_a_plain_zip(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "model.ckpt")
    with zipfile.ZipFile(tmp_path / "vq-f8.zip", "w") as archive:
        archive.write(tmp_path / "model.ckpt", "model.ckpt")
        archive.writestr("config.yaml", "model:")
    assert read_state(tmp_path / "vq-f8.zip")["a"].sum() == 2
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.ckpt", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="expands too far"):
        read_state(tmp_path / "bomb.zip")
