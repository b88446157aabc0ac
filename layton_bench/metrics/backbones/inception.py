"""The InceptionV3 of the FID papers, with the three published ways to prepare its input.

Weights: the TensorFlow graph of 2015-12-05 as ported by pytorch-fid (566 entries, 1,008 classes).
It differs from torchvision's network: average pools do not count the padding, and the pool of the
last block is a maximum. Taps:

    pool3     (B, 2048)  spatial mean of the last block: FID, KID, precision and recall
    logits    (B, 1008)  without the bias, like the Inception Score of the TensorFlow graph
    spatial   (B, 2023)  first 7 channels of ``mixed_6/conv`` (17 x 17), rows first, channels last:
                         sFID, in the order of the reference batches of guided-diffusion
    64, 192, 768         spatial means after the first pool, the second pool and the 17 x 17 blocks

For speed, batch normalisation is folded into the convolutions. The 1 x 1 convolutions on the input
of a block run as one. The average pool is linear, so it runs after them, on fewer channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.metrics.backbones import BackboneSpec

if TYPE_CHECKING:
    from torch import Tensor, device as torch_device

    Resize = Callable[[Tensor], Tensor]

SIDE_PX = 299
WEIGHTS = "inception-fid"
TAPS = ("pool3", "logits", "spatial", "64", "192", "768")

# 1 x 1 convolutions on the block's own input. The last one is averaged over 3 x 3. In Mixed_7c it
# comes after a maximum over 3 x 3 instead, and is left out.
_HEADS = {
    "5": ("branch1x1", "branch5x5_1", "branch3x3dbl_1", "branch_pool"),
    "6": ("branch1x1", "branch7x7_1", "branch7x7dbl_1", "branch_pool"),
    "7": ("branch1x1", "branch3x3_1", "branch3x3dbl_1", "branch_pool"),
    "Mixed_7a": ("branch3x3_1", "branch7x7x3_1"),
    "Mixed_7c": ("branch1x1", "branch3x3_1", "branch3x3dbl_1"),
}
_BATCH_NORM_EPS = 1e-3  # as in the TensorFlow graph


class Inception:
    """The network on uint8 RGB images of any size.

    Args:
        state: the 566 entries of the published file.
        resize: uint8 (B, 3, H, W) → float32 (B, 3, 299, 299), normalised.
        device: in torch's notation.

    Raises:
        KeyError: an entry is missing.
    """

    def __init__(self, state: Mapping[str, Tensor], resize: Resize, *, device: str) -> None:
        import torch

        self._resize = resize
        self._device = device
        folded = {
            name.removesuffix(".conv.weight"): _fold(state, name.removesuffix(".conv.weight"))
            for name in state
            if name.endswith(".conv.weight")
        }
        layout = torch.channels_last
        self._convs = {
            name: (weight.to(device, memory_format=layout), bias.to(device))
            for name, (weight, bias) in _join_heads(folded).items()
        }
        self._fc = state["fc.weight"].float().to(device)

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """Return tap → float32 features (B, D) of uint8 RGB images (B, 3, H, W)."""
        import torch
        from torch.nn import functional as F

        with torch.inference_mode():
            x = self._resize(images.to(self._device))
            x = x.contiguous(memory_format=torch.channels_last)
            taps: dict[str, Tensor] = {}
            x = self._conv("Conv2d_1a_3x3", x, stride=2, padding=0)
            x = self._conv("Conv2d_2a_3x3", x, padding=0)
            x = F.max_pool2d(self._conv("Conv2d_2b_3x3", x), 3, stride=2)
            taps["64"] = x.mean((2, 3))
            x = self._conv("Conv2d_3b_1x1", x)
            x = F.max_pool2d(self._conv("Conv2d_4a_3x3", x, padding=0), 3, stride=2)
            taps["192"] = x.mean((2, 3))
            for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
                x = self._block_35(block, x)
            x = self._reduce_35(x)
            for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
                x, first = self._block_17(block, x)
                if block == "Mixed_6d":  # mixed_6 of the TensorFlow graph, which counts from 0
                    taps["spatial"] = first[:, :7].permute(0, 2, 3, 1).flatten(1)
            taps["768"] = x.mean((2, 3))
            x = self._reduce_17(x)
            x = self._block_8("Mixed_7b", x)
            x = self._block_8("Mixed_7c", x)
            taps["pool3"] = x.mean((2, 3))
            taps["logits"] = taps["pool3"] @ self._fc.T
            return taps

    def _conv(self, name: str, x: Tensor, *, stride: int = 1, padding: int | None = None) -> Tensor:
        """Apply convolution, folded normalisation and ReLU. By default the size stays the same."""
        from torch.nn import functional as F

        weight, bias = self._convs[name]
        around = [side // 2 for side in weight.shape[2:]] if padding is None else padding
        return F.conv2d(x, weight, bias, stride, around).relu_()

    def _heads(self, block: str, x: Tensor, widths: list[int]) -> list[Tensor]:
        """The block's 1 x 1 convolutions of its input, averaged where it is the pool's."""
        import torch
        from torch.nn import functional as F

        weight, bias = self._convs[f"{block}.heads"]
        parts = list(torch.split(F.conv2d(x, weight, bias), widths, dim=1))
        if len(widths) == 4:
            parts[3] = F.avg_pool2d(parts[3], 3, 1, 1, count_include_pad=False)
        return [part.relu_() for part in parts]

    def _block_35(self, block: str, x: Tensor) -> Tensor:
        import torch

        pool = 32 if block == "Mixed_5b" else 64
        one, five, three, pooled = self._heads(block, x, [64, 48, 64, pool])
        five = self._conv(f"{block}.branch5x5_2", five)
        three = self._conv(f"{block}.branch3x3dbl_2", three)
        three = self._conv(f"{block}.branch3x3dbl_3", three)
        return torch.cat([one, five, three, pooled], dim=1)

    def _reduce_35(self, x: Tensor) -> Tensor:
        import torch
        from torch.nn import functional as F

        three = self._conv("Mixed_6a.branch3x3", x, stride=2, padding=0)
        double = self._conv("Mixed_6a.branch3x3dbl_1", x)
        double = self._conv("Mixed_6a.branch3x3dbl_2", double)
        double = self._conv("Mixed_6a.branch3x3dbl_3", double, stride=2, padding=0)
        return torch.cat([three, double, F.max_pool2d(x, 3, stride=2)], dim=1)

    def _block_17(self, block: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output, and its first branch."""
        import torch

        width = {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192}[block]
        one, seven, double, pooled = self._heads(block, x, [192, width, width, 192])
        for step in (2, 3):
            seven = self._conv(f"{block}.branch7x7_{step}", seven)
        for step in (2, 3, 4, 5):
            double = self._conv(f"{block}.branch7x7dbl_{step}", double)
        return torch.cat([one, seven, double, pooled], dim=1), one

    def _reduce_17(self, x: Tensor) -> Tensor:
        import torch
        from torch.nn import functional as F

        three, seven = self._heads("Mixed_7a", x, [192, 192])
        three = self._conv("Mixed_7a.branch3x3_2", three, stride=2, padding=0)
        for step in (2, 3):
            seven = self._conv(f"Mixed_7a.branch7x7x3_{step}", seven)
        seven = self._conv("Mixed_7a.branch7x7x3_4", seven, stride=2, padding=0)
        return torch.cat([three, seven, F.max_pool2d(x, 3, stride=2)], dim=1)

    def _block_8(self, block: str, x: Tensor) -> Tensor:
        import torch
        from torch.nn import functional as F

        if block == "Mixed_7b":
            one, three, double, pooled = self._heads(block, x, [320, 384, 448, 192])
        else:
            one, three, double = self._heads(block, x, [320, 384, 448])
            pooled = self._conv(f"{block}.branch_pool", F.max_pool2d(x, 3, 1, 1))
        double = self._conv(f"{block}.branch3x3dbl_2", double)
        sides = [self._conv(f"{block}.branch3x3_2{side}", three) for side in "ab"]
        sides += [self._conv(f"{block}.branch3x3dbl_3{side}", double) for side in "ab"]
        return torch.cat([one, *sides, pooled], dim=1)


def _fold(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Fold the normalisation into weight and bias: w·γ/√(σ²+ε), β − μ·γ/√(σ²+ε)."""
    norm = {part: state[f"{name}.bn.{part}"].double() for part in _NORM_PARTS}
    scale = norm["weight"] / (norm["running_var"] + _BATCH_NORM_EPS).sqrt()
    weight = state[f"{name}.conv.weight"].double() * scale[:, None, None, None]
    return weight.float(), (norm["bias"] - norm["running_mean"] * scale).float()


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def _join_heads(convs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Join the 1 x 1 convolutions on each block's input to ``<block>.heads``."""
    import torch

    joined = dict(convs)
    for block in sorted({name.split(".")[0] for name in convs if name.startswith("Mixed_")}):
        heads = _HEADS.get(block, _HEADS[block[6]]) if block != "Mixed_6a" else ()
        if heads:
            parts = [joined.pop(f"{block}.{head}") for head in heads]
            weights, biases = zip(*parts, strict=True)
            joined[f"{block}.heads"] = (torch.cat(weights), torch.cat(biases))
    return joined


def resize_tf1(images: Tensor) -> Tensor:
    """Resize like TensorFlow 1: bilinear, source coordinate i·in/out, then (x − 128)/128.

    The TensorFlow graph of the original FID does this, torch-fidelity and the evaluator of
    guided-diffusion too. It is in float32 and in the graph's order, so equal to the last bit.
    """
    x = images.float()
    if x.shape[2:] != (SIDE_PX, SIDE_PX):
        for axis in (3, 2):
            first, second, share = _tf1_neighbours(x.shape[axis], images.device, axis)
            low = x.index_select(axis, first)
            x = low + (x.index_select(axis, second) - low) * share
    return (x - 128) / 128


def _tf1_neighbours(size: int, device: torch_device, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return two source positions for each of 299 targets, and the weight of the second."""
    import torch

    scale = torch.tensor(size, dtype=torch.float32) / SIDE_PX
    source = torch.arange(SIDE_PX, dtype=torch.float32) * scale
    first = source.floor()
    share = (source - first).to(device)
    second = (first + 1).clamp(max=size - 1)
    return (
        first.long().to(device), second.long().to(device),
        share if axis == 3 else share[:, None],
    )  # fmt: skip


def resize_clean(images: Tensor) -> Tensor:
    """Resize like clean-fid: Pillow's antialiased bicubic, not rounded, then (x − 128)/128."""
    from torch.nn import functional as F

    x = images.double()  # like Pillow; float32 differs by 0.005 grey levels
    if x.shape[2:] != (SIDE_PX, SIDE_PX):
        x = F.interpolate(x, size=(SIDE_PX, SIDE_PX), mode="bicubic", antialias=True)
    return (x.clamp_(0, 255).float() - 128) / 128


def resize_pytorch_fid(images: Tensor) -> Tensor:
    """Resize like pytorch-fid: bilinear, half-pixel centres, no antialias, then 2·x/255 − 1."""
    from torch.nn import functional as F

    x = images.float() / 255
    if x.shape[2:] != (SIDE_PX, SIDE_PX):
        x = F.interpolate(x, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
    return 2 * x - 1


def _load(find: Callable[[str], Path], device: str, *, resize: Resize) -> Inception:
    from layton_bench.weights import load_state_dict

    return Inception(load_state_dict(find(WEIGHTS)), resize, device=device)


SPECS = tuple(
    BackboneSpec(name=name, taps=TAPS, weights=(WEIGHTS,), load=partial(_load, resize=resize))
    for name, resize in (
        ("inception-tf1", resize_tf1),
        ("inception-clean", resize_clean),
        ("inception-pytorch-fid", resize_pytorch_fid),
    )
)
