"""Initial weights that make training faster than random ones.

**An autoencoder's bottleneck** starts at the picture's own principal components. A fresh encoder
gives nearly the same vector for every input. Gradient descent then finds the directions of the
bottleneck one by one: brightness first, colours hundreds of steps later. One least-squares fit on
the first batch avoids this. The bottleneck starts as the best linear estimate, from the encoder's
random features, of the leading principal components of the patch at each position. All have equal
variance, and the decoder learns from all of them at once.

Random features of many layers with activations say little about a patch. With its residual branches
closed, a convolutional autoencoder starts as a linear map of nearly constant scale. Its features
say much more, and every layer gets gradients. (Closed branches: Goyal et al., arXiv 1706.02677, and
most diffusion models.)

**A transformer over a tokenizer's codes** starts by knowing which codes are similar: its embeddings
and its output are two random projections of the code vectors. Otherwise it must see each code often
to learn the same. If a text encoder is trained with it, the projection of the text features starts
at their scale. From small weights, the first steps learn only what all texts share, and the
differences between texts are lost.

Axes: B batch, M = B·h·w positions, D features, K components, p patch side, V codes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from layton.generator import GPT

__all__ = [
    "close_branches",
    "fit_components",
    "keep_variance",
    "leading_components",
    "project_codes",
    "with_prefix_keys",
]

_RIDGE = 1e-3  # of the features' mean variance
_LEAST_VARIANCE = 1e-8
_EMBEDDING_STD = 0.3  # much more than a few steps of Adam add


def close_branches(autoencoder: nn.Module) -> None:
    """Start a diffusers autoencoder as a linear map.

    Residual branches give 0. Convolutions keep the variance of their input; they are drawn from
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


def project_codes(gpt: GPT, vectors: Tensor) -> None:
    """Start a transformer's embeddings and output at projections of the code vectors.

    Embeddings get a standard deviation of 0.3, logits one of about 1; the projections are drawn
    from torch's generator.

    Args:
        gpt: over V codes.
        vectors: of those codes, (V, K).
    """
    vectors = vectors - vectors.mean(0)
    vectors = vectors / vectors.std(0).clamp_min(_LEAST_VARIANCE**0.5)
    count = vectors.shape[1]
    for weight, std in (
        (gpt.tok_embeddings.weight, _EMBEDDING_STD),
        (gpt.output.weight, gpt.config.dim**-0.5),
    ):
        projection = torch.randn(count, gpt.config.dim) * (std / count**0.5)
        weight.data.copy_(vectors @ projection)


def with_prefix_keys(gpt: GPT) -> GPT:
    """Return a transformer with the same weights and output, and with prefix keys of zero."""
    grown = GPT(replace(gpt.config, prefix_keys=True))
    grown.load_state_dict(grown.state_dict() | gpt.state_dict())
    return grown


def keep_variance(module: nn.Module) -> None:
    """Start a module's linear layers with weights that keep the variance of their input."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
