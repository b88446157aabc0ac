"""Names of devices and dtypes, as torch understands them; the first batch size to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from layton_bench.errors import UserError

if TYPE_CHECKING:
    import torch

DtypeName = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(DtypeName)

# Pixels per batch on each kind of device. On a CPU, batches of more than 8 images of 256 px gain
# nothing. The engine halves batches that do not fit.
_PIXELS = {"cpu": 8 * 256**2, "mps": 16 * 256**2, "cuda": 64 * 256**2}


def resolve_device(name: str) -> str:
    """Return the best device for ``auto``, or any other name after a check; raises UserError."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(
            f"device '{name}'", "torch knows no such device", "Use auto, cpu, cuda or mps."
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device '{name}'", "torch finds no CUDA GPU here", "Use --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        found = f"torch finds {count} GPU{'s' if count > 1 else ''}"
        raise UserError(f"device '{name}'", found, "The first one is cuda:0.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device '{name}'", "torch finds no Metal GPU here", "Use --device cpu.")
    if device.type not in _PIXELS:
        raise UserError(f"device '{name}'", "it is not supported", "Use auto, cpu, cuda or mps.")
    return "cuda:0" if name == "cuda" else str(device)


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's dtype for ``float32``, ``bfloat16`` or ``float16``; raises UserError."""
    import torch

    if name not in DTYPES:
        raise UserError(f"dtype '{name}'", "it is not supported", f"Use {', '.join(DTYPES)}.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def parse_batch_size(text: str) -> int | None:
    """Return None for ``auto``, or the given positive number; raises UserError."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--batch-size {text}", "not a positive number", "Use auto, 1, 2, 3 …")
    return int(text)


def starting_batch_size(device: str, size_px: int | None) -> int:
    """Return the number of images to try first for ``--batch-size auto``."""
    pixels = _PIXELS[device.partition(":")[0]]
    return max(1, min(64, pixels // (size_px or 256) ** 2))
