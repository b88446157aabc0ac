"""sRGB to CIELAB and the CIEDE2000 colour difference, in float64.

Constants are those of scikit-image: D65, 2° observer, the rounded CIE constants 0.008856 and
7.787. Axes: B batch, H height, W width, P pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Linear sRGB → CIE XYZ (IEC 61966-2-1), and XYZ of the D65 white.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_25_TO_7 = 25.0**7
_COS_SIN = [(math.cos(math.radians(d)), math.sin(math.radians(d))) for d in (30, 6, 63)]
# Pixels at a time on a CPU: about thirty arrays of this length fit into the second-level cache.
_CPU_CHUNK = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourDifference:
    """Means over the pixels of each image, float64 (B,).

    Attributes:
        delta_e: CIEDE2000.
        shift_a: a* of the candidate minus that of the reference; above 0 is redder.
        shift_b: b* of the candidate minus that of the reference; above 0 is yellower.
    """

    delta_e: Tensor
    shift_a: Tensor
    shift_b: Tensor


def colour_difference(candidates: Tensor, references: Tensor) -> ColourDifference:
    """Compare uint8 sRGB images (B, 3, H, W) pixel by pixel."""
    import torch

    pairs = zip(candidates.flatten(2), references.flatten(2), strict=True)
    delta_e, shift_a, shift_b = torch.stack([_mean_difference(x, y) for x, y in pairs], dim=1)
    return ColourDifference(delta_e=delta_e, shift_a=shift_a, shift_b=shift_b)


def _mean_difference(candidate: Tensor, reference: Tensor) -> Tensor:
    """Return means of ΔE00, Δa* and Δb* over the pixels (3, P) of one image, (3,)."""
    import torch

    sums = torch.zeros(3, dtype=torch.float64, device=candidate.device)
    num_pixels = candidate.shape[1]
    step = _CPU_CHUNK if candidate.is_cpu else num_pixels
    for start in range(0, num_pixels, step):
        part = slice(start, start + step)
        lab_x, lab_y = lab_from_rgb(candidate[:, part]), lab_from_rgb(reference[:, part])
        sums[0] += ciede2000(lab_x, lab_y).sum()
        sums[1:] += (lab_x[1:] - lab_y[1:]).sum(1)
    return sums / num_pixels


def lab_from_rgb(pixels: Tensor) -> Tensor:
    """Return CIELAB (3, P) float64, L* 0..100, a*, b*, of uint8 sRGB pixels (3, P)."""
    import torch

    table = _linear_table(pixels.device)
    linear = table.index_select(0, pixels.flatten().int()).view(3, -1)
    ratio = (linear.new_tensor(_XYZ_FROM_RGB) / linear.new_tensor(_WHITE)[:, None]) @ linear
    fx, fy, fz = torch.where(ratio > 0.008856, _cube_root(ratio), 7.787 * ratio + 16 / 116)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def _cube_root(values: Tensor) -> Tensor:
    """Return cube roots of values ≥ 0; numpy's are several times faster than torch's power."""
    import torch

    return torch.from_numpy(np.cbrt(values.numpy())) if values.is_cpu else values ** (1 / 3)


@cache
def _linear_table(device: torch.device) -> Tensor:
    """Return the linear light 0..1 of each of the 256 sRGB levels, float64 (256,)."""
    import torch

    level = torch.arange(256, dtype=torch.float64, device=device) / 255
    return torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)


def ciede2000(x: Tensor, y: Tensor) -> Tensor:
    """Return ΔE00 (P,) of CIELAB pixels (3, P) float64, with kL = kC = kH = 1.

    Sharma, Wu and Dalal 2005, equations 2 to 22. Hue angles occur only in sines and cosines, so
    vectors in the (a', b) plane are enough: the mean hue is the direction of the sum of both unit
    vectors. The rotation term needs the only arctangent.
    """
    import torch

    lightness1, a1, b1 = x
    lightness2, a2, b2 = y
    # Eqs. 2 to 6: a' = (1 + G) a with G from the mean chroma
    g = 0.5 * (1 - _seventh_ratio(0.5 * (torch.hypot(a1, b1) + torch.hypot(a2, b2))))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    chroma1, chroma2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    chroma = 0.5 * (chroma1 + chroma2)
    hue_x, hue_y = _mean_hue(a1, b1, chroma1, a2, b2, chroma2)
    # Eqs. 15 to 22, the terms in turn
    from_middle = (0.5 * (lightness1 + lightness2) - 50).square_()
    term_l = (lightness2 - lightness1) / (1 + 0.015 * from_middle / (20 + from_middle).sqrt_())
    term_c = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    term_h = _hue_difference(a1, b1, a2, b2, chroma1 * chroma2)
    term_h /= 1 + 0.015 * chroma * _hue_weight(hue_x, hue_y)
    squared = term_l * term_l + term_c * term_c + term_h * term_h
    squared += _rotation(hue_x, hue_y, chroma) * term_c * term_h
    return torch.sqrt(squared.clamp_min_(0.0))


def _seventh_ratio(chroma: Tensor) -> Tensor:
    """Return sqrt(C⁷ / (C⁷ + 25⁷))."""
    import torch

    seventh = chroma.square() * chroma.square().square() * chroma
    return torch.sqrt(seventh / (seventh + _25_TO_7))


def _hue_difference(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor, product: Tensor) -> Tensor:
    """Return ΔH' = 2 sqrt(C1' C2') sin(Δh'/2) (eqs. 10, 11), without the angle.

    The sine comes from the cross product if the hues are near, and from the dot product if they are
    opposite, because each is accurate there. ``product`` is C1' C2'.
    """
    import torch

    dot, cross = a1 * a2 + b1 * b2, a1 * b2 - a2 * b1
    near = cross / (0.5 * (product + dot)).clamp_min(1e-300).sqrt_()
    far = torch.copysign((2 * (product - dot)).clamp_min_(0.0).sqrt_(), cross)
    return torch.where(dot >= 0, near, far)


def _mean_hue(
    a1: Tensor, b1: Tensor, chroma1: Tensor, a2: Tensor, b2: Tensor, chroma2: Tensor
) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the mean hue h̄' (eq. 14)."""
    import torch

    x, y = a1 * chroma2 + a2 * chroma1, b1 * chroma2 + b2 * chroma1
    length = torch.hypot(x, y)
    # the sum has no direction if a colour is grey or the hues are opposite
    is_lost = length <= 1e-12 * chroma1 * chroma2
    if is_lost.any():
        x[is_lost], y[is_lost] = _mean_hue_without_sum(*(v[is_lost] for v in (a1, b1, a2, b2)))
        length = torch.hypot(x, y)
    return x / length, y / length


def _mean_hue_without_sum(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the direction of h̄' for greys, whose hue counts as 0, and for opposite hues.

    With one grey, the mean is the other colour's hue. With two greys, it is 0. For opposite hues it
    is the mean of their angles in [0°, 360°): the smaller angle plus 90°.
    """
    import torch

    is_grey = ((a1 == 0) & (b1 == 0)) | ((a2 == 0) & (b2 == 0))
    is_smaller = (b1 > 0) | ((b1 == 0) & (a1 > 0))
    sign = torch.where(is_smaller, 1.0, -1.0)
    x = torch.where(is_grey, a1 + a2, -sign * b1)
    y = torch.where(is_grey, b1 + b2, sign * a1)
    return torch.where((x == 0) & (y == 0), 1.0, x), y


def _hue_weight(cos: Tensor, sin: Tensor) -> Tensor:
    """Return T (eq. 15) from the cosine c and sine s of h̄'.

    1 − 0.17 cos(h − 30°) + 0.24 cos 2h + 0.32 cos(3h + 6°) − 0.20 cos(4h − 63°), each angle by the
    addition theorem, and with q = cos 2h = 2c² − 1: cos 3h = c (2q − 1), sin 3h = s (2q + 1),
    cos 4h = 2q² − 1, sin 4h = 4 s c q.
    """
    (cos30, sin30), (cos6, sin6), (cos63, sin63) = _COS_SIN
    q = (cos * cos).mul_(2).sub_(1)
    with_cos = (q * (2 * 0.32 * cos6)).sub_(0.17 * cos30 + 0.32 * cos6).mul_(cos)
    with_sin = (cos * (-4 * 0.20 * sin63)).sub_(2 * 0.32 * sin6).mul_(q)
    with_sin.sub_(0.17 * sin30 + 0.32 * sin6).mul_(sin)
    even = (q * (-2 * 0.20 * cos63)).add_(0.24).mul_(q).add_(1 + 0.20 * cos63)
    return even.add_(with_cos).add_(with_sin)


def _rotation(hue_x: Tensor, hue_y: Tensor, chroma: Tensor) -> Tensor:
    """Return R_T = −sin(2 Δθ) R_C (eqs. 16, 17, 21)."""
    import torch

    hue = (torch.atan2(hue_y, hue_x) * (180 / math.pi)).remainder_(360)
    turn = torch.exp(-(((hue - 275) / 25) ** 2)) * math.radians(60)
    return turn.sin_() * (-2 * _seventh_ratio(chroma))
