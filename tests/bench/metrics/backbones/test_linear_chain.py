"""Heads of linear layers."""

from __future__ import annotations

import numpy as np
import torch

from layton_bench.metrics.backbones.linear_chain import LinearChain


def test_linear_chain_by_hand() -> None:
    state = {
        "layers.10.weight": torch.tensor([[1.0, 1.0]]), "layers.10.bias": torch.tensor([0.5]),
        "layers.2.weight": torch.tensor([[2.0], [3.0]]), "layers.2.bias": torch.tensor([1.0, 0.0]),
    }  # fmt: skip
    assert LinearChain(state)(np.array([[2.0]])).tolist() == [[5 + 6 + 0.5]]
