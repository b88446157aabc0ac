"""How published evaluation scripts measure, as far as it differs from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layton_bench.errors import UserError
from layton_bench.images import RoundingRule

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "psnr": ("psnr", "psnr-pooled"),
    "ssim": ("ssim", "ssim-skimage", "ssim-range2"),
    "ms-ssim": ("ms-ssim",),
    "lpips": ("lpips-alex", "lpips-vgg", "lpips-squeeze"),
    "fid": ("fid", "clean-fid"),
}
"""Name in papers → what published scripts compute under that name."""

_PAPER_NAMES = {"rfid": "fid", "lpips-alex": "lpips", "lpips-vgg": "lpips", "clean-fid": "fid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A published evaluation script: its crop, rounding rule and metric variants."""

    name: str
    protocol: str
    rounding: RoundingRule
    variants: Mapping[str, str]


SCRIPTS = (
    Script(
        name="layton-bench canonical", protocol="canonical@1", rounding="round",
        variants={"psnr": "psnr", "ssim": "ssim", "fid": "fid"},
    ),
    Script(
        name="LlamaGen", protocol="adm-center-crop@1", rounding="floor-128",
        variants={"psnr": "psnr", "ssim": "ssim-range2", "fid": "fid"},
    ),
    Script(
        name="TiTok", protocol="canonical@1", rounding="round",
        variants={"fid": "fid"},
    ),
    Script(
        name="taming-transformers", protocol="taming-center-crop@1", rounding="truncate",
        variants={"fid": "fid"},
    ),
)  # fmt: skip
"""Published scripts; docs/data.md describes their crops."""


def paper_metric(name: str) -> str:
    """Return the metric of a name in papers (``rfid`` → ``fid``); raises UserError if unknown."""
    found = _PAPER_NAMES.get(name.lower(), name.lower())
    if found not in VARIANTS:
        raise UserError(
            f"metric '{name}'", "no published variants of it are known",
            f"Use one of {', '.join(VARIANTS)}.",
        )  # fmt: skip
    return found
