"""The clock waits for the device."""

import pytest
import torch

from layton_bench.machine.clock import Clock


@pytest.mark.parametrize(
    ("device", "drained"), [("cpu", []), ("cuda:1", ["cuda:1"]), ("mps", ["mps"])]
)
def test_the_clock_waits_for_the_device(
    monkeypatch: pytest.MonkeyPatch, device: str, drained: list[str]
) -> None:
    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append("mps"))
    with Clock(device=device).phase("encode"):
        assert waits == []
    assert waits == drained
