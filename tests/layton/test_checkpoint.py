"""State dicts from disk: safe reading, unwrapping, and a report that names what differs."""

import argparse
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from layton.checkpoint import load_strict, read_state
from layton.errors import CheckpointError


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
