"""The patch discriminator of VQGAN and LlamaGen (Isola et al., arXiv 1611.07004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from layton.training.losses import discriminator_hinge

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PatchDiscriminator"]


class PatchDiscriminator(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] → one logit per patch.

    Group instead of batch normalisation: a sample's logits then depend on no batch mates, and
    processes need not share statistics.

    Args:
        channels: width of the first layer; each further one doubles it up to 8 times.
        num_layers: strided layers.
    """

    def __init__(self, channels: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(channels, num_layers))

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 1, h, w)."""
        out: Tensor = self.layers(images)
        return out

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Its own loss on real and fake images."""
        return discriminator_hinge(self.logits(real), self.logits(fake))


def _layers(channels: int, num_layers: int) -> Iterator[nn.Module]:
    yield nn.Conv2d(3, channels, 4, stride=2, padding=1)
    yield nn.LeakyReLU(0.2)
    width = channels
    for number in range(1, num_layers + 1):
        wider = channels * min(2**number, 8)
        yield nn.Conv2d(width, wider, 4, stride=2 if number < num_layers else 1, padding=1)
        yield nn.GroupNorm(min(8, wider), wider)
        yield nn.LeakyReLU(0.2)
        width = wider
    yield nn.Conv2d(width, 1, 4, padding=1)
