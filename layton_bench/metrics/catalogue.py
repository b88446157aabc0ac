"""The built-in metrics and backbones."""

from __future__ import annotations

from typing import Final

from layton_bench.metrics import codes, prompt, rate
from layton_bench.metrics.backbones import clip, dinov2, inception
from layton_bench.metrics.pairs import faces, legibility, perceptual, pixel, published, pyiqa
from layton_bench.metrics.sets import frechet, inception_score, kernel, manifold

_MODULES = (
    pixel, published, perceptual, pyiqa, frechet, kernel, inception_score, manifold,
    legibility, faces, prompt,
    rate, codes,
)  # fmt: skip

METRICS: Final = tuple(spec for module in _MODULES for spec in module.SPECS)
"""In the order in which `list metrics` shows them."""

BACKBONES: Final = (*inception.SPECS, *dinov2.SPECS, *clip.SPECS)
"""Networks whose features the metrics share."""
