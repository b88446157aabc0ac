"""Checks of what a model returns, before anything is computed from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from layton_bench.errors import ModelOutputError
from layton_bench.types import Codes

if TYPE_CHECKING:
    from torch import Tensor

# A decoder may overshoot [-1, 1] a little and is clamped, as every published script does; values
# this far out mean another range (0..255) or a diverged model.
_RANGE_BOUND = 8.0


def check_images(images: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ModelOutputError unless images are floating, finite, in range and of that shape."""
    import torch

    if not isinstance(images, torch.Tensor):
        raise ModelOutputError(f"returned {type(images).__name__}, expected a torch tensor")
    if tuple(images.shape) != expected:
        raise ModelOutputError(f"returned shape {tuple(images.shape)}, expected {expected}")
    if not images.is_floating_point():
        raise ModelOutputError(f"returned {images.dtype}, expected floating images in [-1, 1]")
    bound = torch.stack(images.aminmax()).abs().max().item()  # NaN where any value is NaN
    if not math.isfinite(bound):
        raise ModelOutputError("returned NaN or infinite values")
    if bound > _RANGE_BOUND:
        raise ModelOutputError(f"returned values up to {bound:.4g}, expected [-1, 1]")


def check_codes(codes: Codes, count: int) -> None:
    """Raise ModelOutputError unless there is one set of codes per image, all in the codebook."""
    if not isinstance(codes, Codes):
        raise ModelOutputError(f"encode returned {type(codes).__name__}, expected Codes")
    if len(codes) != count:
        raise ModelOutputError(f"returned codes of {len(codes)} images for {count}")
    if codes.payloads is not None and not all(isinstance(p, bytes) for p in codes.payloads):
        raise ModelOutputError("returned payloads that are not all bytes")
    if codes.latents is not None and not _is_tensor(codes.latents):
        raise ModelOutputError(f"returned {type(codes.latents).__name__} as latents")
    if codes.codes is None or codes.codebook_size is None:
        return
    if not _is_tensor(codes.codes):
        raise ModelOutputError(f"returned {type(codes.codes).__name__} as codes")
    values = codes.codes
    if values.ndim != 2 or values.dtype.is_floating_point or str(values.dtype) == "torch.bool":
        shape = tuple(values.shape)
        raise ModelOutputError(f"returned codes {values.dtype} {shape}, expected int64 (B, N)")
    if bool(((values < 0) | (values >= codes.codebook_size)).any()):
        raise ModelOutputError(f"returned codes outside [0, {codes.codebook_size})")


def _is_tensor(found: object) -> bool:
    import torch

    return isinstance(found, torch.Tensor)
