"""Files of tensors are read without running code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from layton_bench.errors import UserError
from layton_bench.weights.checkpoint import load_checkpoint, load_state_dict


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (Path("pwned"), "x"))


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2), "evil": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"could run any code.*--trust-pickle"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "pwned").exists()


def test_state_dicts_of_both_formats(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    torch.save(tensors, tmp_path / "t.pth")
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "nested.pth")
    save_file(tensors, tmp_path / "t.safetensors")
    for loaded in (
        load_state_dict(tmp_path / "t.pth"),
        load_state_dict(tmp_path / "t.safetensors"),
        load_state_dict(tmp_path / "nested.pth", key="state_dict"),
    ):
        assert {k: v.tolist() for k, v in loaded.items()} == {
            k: v.tolist() for k, v in tensors.items()
        }
    with pytest.raises(UserError, match="not tensors: epoch"):
        load_state_dict(tmp_path / "nested.pth")


@pytest.mark.parametrize("name", ["t.pth", "t.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 100])
def test_truncated_files_are_named(tmp_path: Path, name: str, kept: int) -> None:
    tensors = {"a": torch.arange(3000.0)}
    whole = tmp_path / f"whole-{name}"
    save_file(tensors, whole) if name.endswith("rs") else torch.save(tensors, whole)
    (tmp_path / name).write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(UserError, match=f"{name}: damaged"):
        load_state_dict(tmp_path / name)
