"""Linear layers with weights laid out once for the CPU, for few rows at a time.

A matrix product with few rows spends its time on reading weights. The library re-orders row-major
weights at every call; here oneDNN does it once, by the operators that torch.compile uses for frozen
weights. From two rows on, such a product gives a row the same bits for any number of rows. An image
therefore does not depend on its batch.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

__all__ = ["PackedLinear", "can_pack", "pack_linears"]


def can_pack(weight: Tensor) -> bool:
    """Whether this weight can be packed on this machine."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


class PackedLinear(nn.Module):
    """A linear layer for inference: no gradient, no state dict.

    Args:
        linear: the layer to pack; its weight must pass `can_pack`.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.bias = None if linear.bias is None else linear.bias.detach()
        weight = linear.weight.detach().contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        rows = x.reshape(-1, self.in_features)
        # a single row would use another kernel, with other rounding
        pair = rows.expand(2, -1) if len(rows) == 1 else rows
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            pair, self._weight, self.bias, "none", [], ""
        )
        return out[: len(rows)].view(*x.shape[:-1], -1)


def pack_linears(model: nn.Module) -> int:
    """Replace, in place, every linear layer that can be packed; return how many.

    Each original weight is freed at once. Afterwards the model can only be run.
    """
    packed = 0
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and can_pack(child.weight):
                setattr(module, name, PackedLinear(child))
                packed += 1
    return packed


def _flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * x.numel() * weight[0]


# torch counts the operations of its own matrix products only
if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)
