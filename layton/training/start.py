"""Where an autoencoder's bottleneck starts: at the picture's own principal components.

A fresh encoder puts out nearly one vector whatever it sees, and gradient descent then finds the
directions of the bottleneck one after the other, brightness first, colours hundreds of steps later.
One least-squares fit on the first batch spares that: the bottleneck starts as the best linear
guess, from the encoder's random features, of the leading principal components of the patch under
each position, all at equal variance. The decoder then learns from all of them at once.

Random features of a deep stack of activations say little about a patch. With its residual branches
closed, a convolutional autoencoder starts as a linear map of nearly constant scale, whose features
say much more, and which hands gradients to every layer (the closed branches are those of Goyal et
al., arXiv 1706.02677, and of most diffusion models).

Axes: B batch, M = B·h·w positions, D features, K components, p patch side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

__all__ = ["close_branches", "fit_components", "leading_components"]

_RIDGE = 1e-3  # of the features' mean variance
_LEAST_VARIANCE = 1e-8


def close_branches(autoencoder: nn.Module) -> None:
    """Start a diffusers autoencoder as a linear map.

    Residual branches put out 0; convolutions keep the variance of what they get, and are drawn from
    torch's generator.
    """
    for module in autoencoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in autoencoder.modules():
        if isinstance(module, ResnetBlock2D):
            _zero(module.conv2)
        elif isinstance(module, Attention):
            _zero(module.to_out[0])


def leading_components(images: Tensor, patch: int, count: int) -> Tensor:
    """The first `count` principal components of p × p patches, each at variance 1: (M, count).

    Args:
        images: (B, 3, H, W), sides multiples of `patch`.
        patch: p.
        count: K, at most 3p².
    """
    patches = F.unfold(images.float(), patch, stride=patch).transpose(1, 2).flatten(0, 1)
    patches = patches - patches.mean(0)
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    # ascending: the last ones vary most
    whitening = directions[:, -count:] * variances[-count:].clamp_min(_LEAST_VARIANCE).rsqrt()
    components: Tensor = patches @ whitening
    return components


def fit_components(features: Tensor, components: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (K, D) and bias (K,) of the least-squares map features (M, D) → components (M, K)."""
    features = features.double()
    mean = features.mean(0)
    centred = features - mean
    covariance = centred.T @ centred / len(centred)
    ridge = _RIDGE * covariance.diagonal().mean()
    covariance.diagonal().add_(ridge)
    weight = torch.linalg.solve(covariance, centred.T @ components.double() / len(centred)).T
    bias = components.double().mean(0) - weight @ mean
    return weight.float(), bias.float()


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
