"""LPIPS (Zhang et al. 2018) and DISTS (Ding et al. 2020) of each candidate against its reference.

Both compare activations of networks trained on ImageNet. LPIPS is version 0.1, with the learned
heads of the package ``lpips``. Its authors advise ``lpips-alex`` for evaluation; most tokenizer
papers report ``lpips-vgg``. Networks run in float32, channels last, a few pairs at a time,
candidates and references in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.metrics.base import MetricContext, MetricSpec, PerSampleMetric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from layton_bench.types import ScoredBatch

# Position of the last layer of each tap in torchvision's ``features``.
_TAPS = {
    "alex": (1, 4, 7, 9, 11),
    "vgg": (3, 8, 15, 22, 29),
    "squeeze": (1, 4, 7, 9, 10, 11, 12),
}
_NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
LPIPS_WEIGHTS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1-1"}
DISTS_WEIGHTS = "dists"
# ImageNet's mean and deviation of each channel, for images in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_DISTS_WIDTHS = (3, 64, 128, 256, 512, 512)
# Pixels of candidates in one pass: 8 pairs at 256 px, one from 724 px on.
_PASS_PIXELS = 8 * 256 * 256


class Lpips:
    """LPIPS v0.1 of pairs of uint8 images.

    Args:
        network: ``alex``, ``vgg`` or ``squeeze``.
        trunk: state dict of torchvision's network. Only its ``features.*`` are used.
        heads: weights of each tap's channels, float32 (C,).
        device: in torch's notation.

    Raises:
        RuntimeError: the state dict belongs to another network.
    """

    def __init__(
        self, network: str, trunk: dict[str, Tensor], heads: Sequence[Tensor], *, device: str
    ) -> None:
        import torch

        self._layers = _features(network, trunk, device)
        self._taps = dict(zip(_TAPS[network], (h.to(device) for h in heads), strict=True))
        self._shift = torch.tensor(_SHIFT, device=device)[:, None, None]
        self._scale = torch.tensor(_SCALE, device=device)[:, None, None]
        self._device = device

    def __call__(self, candidates: Tensor, references: Tensor) -> Tensor:
        """Return distances float64 (B,) of uint8 RGB images (B, 3, H, W); see ``parts``."""
        return self.parts(candidates, references).sum(1)

    def parts(self, candidates: Tensor, references: Tensor) -> Tensor:
        """Return each tap's part, float64 (B, taps): Σ_c w_c · mean over positions of (a − b)²_c.

        a and b are the tap's activations. At each position they have length 1 over channels.
        """
        import torch

        with torch.inference_mode():
            x = torch.cat([candidates, references]).to(self._device).float() / 127.5 - 1
            x = ((x - self._shift) / self._scale).contiguous(memory_format=torch.channels_last)
            parts = []
            for position, layer in enumerate(self._layers):
                x = layer(x)
                if position in self._taps:
                    unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
                    first, second = unit.chunk(2)
                    gap = (first - second).square_().mean((2, 3), dtype=torch.float64)
                    parts.append(gap @ self._taps[position].double())
                if len(parts) == len(self._taps):
                    break
            return torch.stack(parts, dim=1).cpu()


class Dists:
    """DISTS of pairs of uint8 images.

    Args:
        trunk: state dict of torchvision's VGG16. Only its ``features.*`` are used.
        alpha: weights of the channels' texture terms, 1,475 values in any shape.
        beta: weights of the channels' structure terms, 1,475 values in any shape.
        device: in torch's notation.
    """

    def __init__(
        self, trunk: dict[str, Tensor], alpha: Tensor, beta: Tensor, *, device: str
    ) -> None:

        self._layers = _features("vgg", trunk, device)
        total = alpha.double().sum() + beta.double().sum()
        self._alpha = (alpha.double().flatten() / total).to(device).split(_DISTS_WIDTHS)
        self._beta = (beta.double().flatten() / total).to(device).split(_DISTS_WIDTHS)
        self._device = device

    def __call__(self, candidates: Tensor, references: Tensor) -> Tensor:
        """Return distances float64 (B,) of uint8 RGB images (B, 3, H, W)."""
        import torch

        with torch.inference_mode():
            images = torch.cat([candidates, references]).to(self._device).float() / 255
            likeness = torch.zeros(len(candidates), dtype=torch.float64, device=self._device)
            weights = zip(self._alpha, self._beta, strict=True)
            for taps, (alpha, beta) in zip(self._taps(images), weights, strict=True):
                first, second = taps.chunk(2)
                likeness += _likeness(first, second, alpha, beta)
            return (1 - likeness).cpu()

    def _taps(self, images: Tensor) -> list[Tensor]:
        """Return the images, and the ReLUs before each pool; pools are L2 with Hann weights."""
        import torch
        from torch import nn

        mean, std = (torch.tensor(v, device=self._device)[:, None, None] for v in _IMAGENET)
        x = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
        taps = [images]
        for position, layer in enumerate(self._layers):
            x = _l2_pool(x) if isinstance(layer, nn.MaxPool2d) else layer(x)
            if position in _TAPS["vgg"]:
                taps.append(x)
            if position == _TAPS["vgg"][-1]:
                break
        return taps


def _likeness(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Return Σ α·(2μ_aμ_b + c)/(μ_a² + μ_b² + c) + β·(2σ_ab + c)/(σ_a² + σ_b² + c), c = 1e-6."""
    import torch

    wide = partial(torch.mean, dim=(2, 3), dtype=torch.float64)
    means = wide(a), wide(b)
    a = a - means[0].float()[..., None, None]
    b = b - means[1].float()[..., None, None]
    variances, covariance = wide(a * a) + wide(b * b), wide(a * b)
    texture = (2 * means[0] * means[1] + 1e-6) / (means[0] ** 2 + means[1] ** 2 + 1e-6)
    structure = (2 * covariance + 1e-6) / (variances + 1e-6)
    return texture @ alpha + structure @ beta


def _l2_pool(x: Tensor) -> Tensor:
    """Return √(blur of x² + 1e-12) at every second position; the blur is a 3 × 3 Hann window."""
    import torch
    from torch.nn import functional as F

    hann = torch.tensor([0.25, 0.5, 0.25], device=x.device)
    window = torch.outer(hann, hann).expand(x.shape[1], 1, 3, 3)
    blurred = F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1])
    return blurred.add_(1e-12).sqrt_()


def _features(network: str, trunk: dict[str, Tensor], device: str) -> nn.Sequential:
    """Return the convolutional layers of a torchvision network, with these weights."""
    import torch
    from torchvision import models

    with torch.device("meta"):  # nothing random is ever drawn
        layers: nn.Sequential = getattr(models, _NETWORKS[network])(weights=None).features
    own = {
        name.removeprefix("features."): value
        for name, value in trunk.items()
        if name.startswith("features.")
    }
    layers.load_state_dict(own, strict=True, assign=True)
    layers = layers.eval().requires_grad_(False).to(device)
    return layers.to(memory_format=torch.channels_last)


def lpips_heads(network: str) -> list[Tensor]:
    """Return the learned heads of version 0.1, from files in the package ``lpips``."""
    from layton_bench.weights import load_state_dict

    package = find_spec("lpips")
    assert package is not None and package.origin is not None
    file = Path(package.origin).parent / "weights" / "v0.1" / f"{network}.pth"
    state = load_state_dict(file)
    return [state[f"lin{tap}.model.1.weight"].flatten() for tap in range(len(_TAPS[network]))]


def in_passes(score: Callable[[Tensor, Tensor], Tensor], batch: ScoredBatch) -> Sequence[float]:
    """Return scores (B,) of a batch, a few pairs at a time. Raise ValueError if sizes differ."""
    references = batch.paired_references()
    if references.shape != batch.candidates.shape:
        raise ValueError(
            f"candidates of shape {tuple(batch.candidates.shape)}, references of"
            f" {tuple(references.shape)}"
        )
    height, width = batch.candidates.shape[-2:]
    size = max(1, _PASS_PIXELS // (height * width))
    scores: list[float] = []
    for start in range(0, len(batch), size):
        part = slice(start, start + size)
        scores += score(batch.candidates[part], references[part]).tolist()
    return scores


def _make_lpips(context: MetricContext, *, network: str) -> PerSampleMetric:
    from layton_bench.weights import load_state_dict

    trunk = load_state_dict(context.weights(LPIPS_WEIGHTS[network]))
    distance = Lpips(network, trunk, lpips_heads(network), device=context.device)
    return PerSampleMetric(f"lpips-{network}", partial(in_passes, distance))


def _make_dists(context: MetricContext) -> PerSampleMetric:
    from layton_bench.weights import load_state_dict

    trunk = load_state_dict(context.weights(LPIPS_WEIGHTS["vgg"]))
    own = load_state_dict(context.weights(DISTS_WEIGHTS))
    distance = Dists(trunk, own["alpha"], own["beta"], device=context.device)
    return PerSampleMetric("dists", partial(in_passes, distance))


SPECS = (
    *(
        MetricSpec(
            name=f"lpips-{network}",
            label=f"LPIPS ({_NETWORKS[network].partition('1_')[0]})",
            direction="lower",
            summary=f"learned perceptual distance on {_NETWORKS[network]}, version 0.1",
            digits=4,
            weights=(LPIPS_WEIGHTS[network],),
            needs=frozenset({"reference"}),
            signature={"net": network, "version": "0.1"},
            make=partial(_make_lpips, network=network),
        )
        for network in ("alex", "vgg", "squeeze")
    ),
    MetricSpec(
        name="dists",
        label="DISTS",
        direction="lower",
        summary="deep image structure and texture similarity on vgg16",
        digits=4,
        weights=(LPIPS_WEIGHTS["vgg"], DISTS_WEIGHTS),
        needs=frozenset({"reference"}),
        signature={"net": "vgg"},
        make=_make_dists,
    ),
)
