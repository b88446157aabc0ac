"""Losses as pure functions; images are float (B, 3, H, W) in [-1, 1], results are scalars.

Every loss is a mean over the samples of a batch. The mean over equal parts of a batch is therefore
the loss of the whole batch.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.errors import MissingPartError

if TYPE_CHECKING:
    from layton.tokenizer import Quantized

__all__ = [
    "chroma_loss",
    "code_entropy",
    "codebook_losses",
    "discriminator_hinge",
    "generator_hinge",
    "kl_divergence",
    "load_lpips",
    "ms_ssim",
    "pixel_loss",
]

# Wang et al., "Multiscale structural similarity" (2003): weights of the five scales
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def pixel_loss(images: Tensor, target: Tensor, kind: Literal["l1", "l2"]) -> Tensor:
    """Mean absolute or mean squared difference."""
    return F.l1_loss(images, target) if kind == "l1" else F.mse_loss(images, target)


def chroma_loss(images: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference along the two colour axes (R − G)/√2 and (R + G − 2B)/√6.

    With the grey axis (R + G + B)/√3 they are orthonormal: ⅓ of the squared differences' sum over
    the three is the plain mean squared difference, of which colour is a small part in photographs.
    """
    axes = target.new_tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
    axes = axes / axes.norm(dim=1, keepdim=True)
    return F.conv2d(images - target, axes[:, :, None, None]).square().mean()


def codebook_losses(quantized: Quantized) -> tuple[Tensor, Tensor]:
    """(‖sg[z] − e‖², ‖z − sg[e]‖²): codebook and commitment loss (van den Oord, arXiv 1711.00937).

    Both are means over every element; the caller multiplies the commitment loss by β.
    """
    codebook = F.mse_loss(quantized.vectors, quantized.z.detach())
    commitment = F.mse_loss(quantized.z, quantized.vectors.detach())
    return codebook, commitment


def code_entropy(codes: Tensor, codebook_size: int) -> Tensor:
    """Entropy of the codes of a batch in bits, to log."""
    share = torch.bincount(codes.flatten(), minlength=codebook_size).float() / codes.numel()
    entropy: Tensor = -(share * share.clamp_min(1e-12).log2()).sum()
    return entropy


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL from N(mean, exp(logvar)) to N(0, 1), summed over a sample, averaged over the batch.

    ½ Σ (μ² + σ² − 1 − log σ²) (Kingma and Welling, arXiv 1312.6114).
    """
    terms = mean.square() + logvar.exp() - 1.0 - logvar
    return 0.5 * terms.flatten(1).sum(1).mean()


def discriminator_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (mean max(0, 1 − real) + mean max(0, 1 + fake)), the hinge loss of VQGAN."""
    return 0.5 * (F.relu(1.0 - real_logits).mean() + F.relu(1.0 + fake_logits).mean())


def generator_hinge(fake_logits: Tensor) -> Tensor:
    """−mean fake, what the autoencoder minimises against the hinge."""
    return -fake_logits.mean()


def ms_ssim(images: Tensor, target: Tensor) -> Tensor:
    """Multiscale structural similarity of images in [-1, 1], mean over the batch, at most 1.

    Wang et al. (2003): Gaussian window 11 with σ 1.5, borders cropped, each channel by itself; the
    number of scales is what the size allows, five from 161 px on, with the weights of the scales
    used scaled to sum 1. Means and variances are separable sums. Negative contrast terms count 0.
    """
    x, y = (images.float() + 1.0) / 2.0, (target.float() + 1.0) / 2.0
    smallest = min(x.shape[2:])
    scales = sum(1 for i in range(5) if smallest // 2**i >= _WINDOW)
    weights = torch.tensor(_MS_SSIM_WEIGHTS[:scales], device=x.device)
    weights = weights / weights.sum()
    terms = []
    for scale in range(scales):
        luminance, contrast = _ssim_terms(x, y)
        last = scale == scales - 1
        terms.append((luminance * contrast if last else contrast).mean((2, 3)))
        if not last:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    # the power's slope is infinite at 0
    stacked = torch.stack(terms, -1).clamp_min(1e-6)
    return (stacked**weights).prod(-1).mean()


def _ssim_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of luminance (2μxμy + c1)/(μx² + μy² + c1) and contrast (2σxy + c2)/(σx² + σy² + c2)."""
    count = len(x)
    means = _blur(torch.cat((x, y, x * x + y * y, x * y)))
    mean_x, mean_y, squares, product = means.split(count)
    c1, c2 = _K1**2, _K2**2
    product_of_means, squares_of_means = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    luminance = (2 * product_of_means + c1) / (squares_of_means + c1)
    contrast = (2 * (product - product_of_means) + c2) / (squares - squares_of_means + c2)
    return luminance, contrast


def _blur(x: Tensor) -> Tensor:
    positions = torch.arange(_WINDOW, device=x.device) - _WINDOW // 2
    window = torch.exp(-positions.float().square() / (2 * _SIGMA**2))
    window = (window / window.sum()).to(x.dtype)
    planes = x.flatten(0, 1)[:, None]
    across = F.conv2d(planes, window.view(1, 1, 1, -1))
    blurred: Tensor = F.conv2d(across, window.view(1, 1, -1, 1)).unflatten(0, x.shape[:2])
    return blurred[:, :, 0]


def load_lpips(net: Literal["alex", "vgg", "squeeze"], backbone: Path | None) -> nn.Module:
    """LPIPS (Zhang et al., arXiv 1801.03924) with frozen weights, images in [-1, 1] → (B, 1, 1, 1).

    Args:
        net: the backbone; its linear heads ship with the `lpips` package.
        backbone: torchvision's weights of it; None lets torchvision download them.

    Raises:
        MissingPartError: the weights cannot be read or had.
    """
    import lpips

    try:
        with warnings.catch_warnings():
            # the package asks for torchvision's weights by an argument of older versions
            warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
            model: Any = lpips.LPIPS(net=net, pnet_rand=backbone is not None, verbose=False)
        if backbone is not None:
            state = torch.load(backbone, map_location="cpu", weights_only=True)
            _fill_slices(model.net, state)
    except (OSError, RuntimeError, KeyError, UnpicklingError) as error:
        raise MissingPartError(
            f"LPIPS with {net}" if backbone is None else str(backbone),
            f"cannot be read as torchvision's {net} state dict ({error})",
            "Pass torchvision's file as lpips_weights.",
        ) from None
    frozen: nn.Module = model.eval().requires_grad_(False)
    return frozen


def _fill_slices(net: Any, state: dict[str, Tensor]) -> None:
    # lpips names a slice's layers by their number in torchvision's `features`
    for name, parameter in net.named_parameters():
        number, part = name.split(".", 1)[1].split(".", 1)
        parameter.data.copy_(state[f"features.{number}.{part}"])
