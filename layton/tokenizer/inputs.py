"""What goes into a tokenizer: images are checked, noise is drawn from seeds.

Axes: B batch, C channels, H W pixels, h w latents. Images are float RGB in [-1, 1].
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from layton.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Seeds", "check_images", "check_range", "check_seed", "noise_source"]

Seeds = int | Generator | Sequence[int | Generator]
"""One seed for every image, one generator for the whole batch, or one of either per image."""

_MOST = 1.5  # resampling overshoots a little; 0 … 255 is a forgotten division


def check_images(images: Tensor, *, multiple: int) -> None:
    """Raise ImageError unless images are float RGB (B, 3, H, W) with sides of that multiple."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ImageError(
            "images",
            f"shape {tuple(images.shape)}, {images.dtype}",
            "Pass float RGB images of shape (B, 3, H, W) in [-1, 1].",
        )
    height, width = images.shape[2:]
    if height % multiple or width % multiple or not height or not width:
        raise ImageError(
            "images",
            f"{height}×{width} px is not a multiple of {multiple}",
            f"Resize or crop to a multiple of {multiple}.",
        )


def check_range(images: Tensor) -> None:
    """Raise ImageError for values far outside [-1, 1]."""
    if images.numel() and not images.is_meta:
        low, high = (float(v) for v in images.aminmax())
        if not (low >= -_MOST and high <= _MOST):
            raise ImageError("images", f"values span {low:.3g} … {high:.3g}", "Scale to [-1, 1].")


def check_seed(seed: object) -> int:
    """Return a seed as an int; raise ConfigError unless it fits into 64 bits."""
    try:
        number = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError("seed", f"{seed!r} is not a whole number", "Pass an int.") from None
    if not -(1 << 63) <= number < 1 << 64:
        raise ConfigError("seed", f"{number} does not fit into 64 bits", "Pass 0 … 2⁶⁴ − 1.")
    return number


def noise_source(seeds: Seeds, count: int, shape: tuple[int, ...]) -> Callable[[], Tensor]:
    """Return a function that draws unit noise (count, *shape) at each call, on the CPU.

    Raises:
        ConfigError: another number of seeds than images, or a seed of more than 64 bits.
    """
    if isinstance(seeds, Generator):
        return lambda: torch.randn((count, *shape), generator=seeds, device=seeds.device).cpu()
    each = list(seeds) if isinstance(seeds, Iterable) else [seeds] * count
    if len(each) != count:
        raise ConfigError(
            "generator", f"{len(each)} seeds for {count} images", "Pass one per image."
        )
    own = [
        seed if isinstance(seed, Generator) else Generator().manual_seed(check_seed(seed))
        for seed in each
    ]
    return lambda: torch.stack(
        [torch.randn(shape, generator=g, device=g.device).cpu() for g in own]
    )
