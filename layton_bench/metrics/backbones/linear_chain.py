"""The head of several scorers: linear layers without activations between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LinearChain:
    """Linear layers without activations between them.

    Args:
        state: ``<prefix><number>.weight`` and ``.bias``, used in the order of their numbers.
        prefix: start of the entries' names.
    """

    def __init__(self, state: dict[str, Tensor], prefix: str = "layers.") -> None:
        wide = {k: v.double().numpy() for k, v in state.items() if k.startswith(prefix)}
        numbers = sorted({int(name.removeprefix(prefix).split(".")[0]) for name in wide})
        self._layers = [(wide[f"{prefix}{k}.weight"], wide[f"{prefix}{k}.bias"]) for k in numbers]

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (B, out) float64 of rows (B, in)."""
        for weight, bias in self._layers:
            rows = rows @ weight.T + bias
        return rows
