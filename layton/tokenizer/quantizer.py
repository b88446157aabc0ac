"""The codebook: nearest code, look-up, straight-through gradient, usage and revival.

Axes: B batch, C codebook_dim, h w the token grid, M = B·h·w vectors, K codebook_size.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.errors import CodesError, ConfigError
from layton.weights import codebook_digest

__all__ = ["USAGE_WINDOW", "Quantized", "Quantizer", "nearest_codes"]

USAGE_WINDOW = 65536
"""How many recent codes a codebook remembers, as in LlamaGen's checkpoints."""

_EPS = 1e-12  # of the l2 norm, as torch's normalize and the released checkpoints have it


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantized:
    """One quantisation, with the gradients that training needs.

    Attributes:
        quantized: (B, C, h, w) code vectors; their gradient goes straight through to z.
        codes: (B, h, w) int64.
        z: (B, C, h, w) encoder output as compared with the codebook (l2-normalised if it is).
        vectors: (B, C, h, w) code vectors with the codebook's own gradient.
    """

    quantized: Tensor
    codes: Tensor
    z: Tensor
    vectors: Tensor


def nearest_codes(
    z: Tensor, codebook: Tensor, *, unit_norm: bool, max_bytes: int = 64 << 20
) -> Tensor:
    """Index of the nearest codebook row by Euclidean distance, (M,) int64.

    argmin |z − e|² = argmax (z·e − |e|²/2), and for rows of equal norm = argmax z·e. This is one
    matrix product per chunk, in float32, with at most `max_bytes` of scores at a time.

    Args:
        z: (M, C) vectors.
        codebook: (K, C) rows.
        unit_norm: the rows all have norm 1, so their norms need not be subtracted.
        max_bytes: bound of the score buffer.
    """
    rows = codebook.float()
    half_norms = None if unit_norm else rows.square().sum(1).mul_(0.5)
    size = max(1, max_bytes // (4 * rows.shape[0]))
    out = torch.empty(z.shape[0], dtype=torch.long, device=z.device)
    # meta tensors, which only count, know no autocast
    exact = nullcontext() if z.is_meta else torch.autocast(z.device.type, enabled=False)
    with exact:
        for start in range(0, z.shape[0], size):
            scores = z[start : start + size].float() @ rows.T
            if half_norms is not None:
                scores -= half_norms
            out[start : start + size] = scores.argmax(1)
    return out


class Quantizer(nn.Module):
    """A codebook of `codebook_size` vectors of width `codebook_dim`.

    With `l2_normalize`, both sides are scaled to unit norm at every look-up. Nearest then means
    smallest angle (Yu et al., arXiv 2110.04627). The stored rows may have any norm.

    The buffer `codebook_used` is a window of the most recent codes in training mode (−1: empty).
    Usage and dead codes are computed from it. LlamaGen's checkpoints hold it under this name and in
    float32. With `window=0` there is none, as in the checkpoints of VQGAN and TiTok.
    """

    codebook_used: Tensor | None

    def __init__(
        self,
        codebook_size: int,
        codebook_dim: int,
        *,
        l2_normalize: bool = True,
        window: int = USAGE_WINDOW,
    ) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.codebook_dim = codebook_dim
        self.l2_normalize = l2_normalize
        self.embedding = nn.Embedding(codebook_size, codebook_dim)
        bound = 1.0 / codebook_size
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        if l2_normalize:
            with torch.no_grad():
                self.embedding.weight.copy_(F.normalize(self.embedding.weight, dim=1, eps=_EPS))
        self.register_buffer("codebook_used", torch.full((window,), -1.0) if window else None)
        # training on several processes puts all their codes into one window
        self.gather_codes: Callable[[Tensor], Tensor] = _unchanged

    def codebook(self) -> Tensor:
        """(K, C) float32 rows as compared and looked up: l2-normalised if the quantiser is."""
        weight = self.embedding.weight.float()
        return F.normalize(weight, dim=-1, eps=_EPS) if self.l2_normalize else weight

    @property
    def digest(self) -> str:
        """Of the stored rows; see `fingerprints.codebook_digest`."""
        return codebook_digest(self.embedding.weight.detach().cpu().numpy())

    def compared(self, z: Tensor) -> Tensor:
        """The encoder output as compared with the codebook, same shape, float32 at least."""
        z = z if z.dtype == torch.float64 else z.float()
        return F.normalize(z, dim=1, eps=_EPS) if self.l2_normalize else z

    @torch.no_grad()
    def encode(self, z: Tensor) -> Tensor:
        """Encoder output (B, C, h, w) → codes (B, h, w) int64."""
        return self._nearest(self.compared(z))

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (B, h, w) → code vectors (B, C, h, w) float32, l2-normalised if the quantiser is.

        Raises:
            CodesError: a code is out of range, or codes are not integers.
        """
        self.check(codes)
        return self._vectors(codes)

    def check(self, codes: Tensor) -> None:
        """Raise CodesError unless every code is an integer in 0 … codebook_size − 1."""
        if codes.dtype.is_floating_point or codes.dtype == torch.bool:
            raise CodesError("codes", f"dtype is {codes.dtype}", "Pass int64 codes.")
        if codes.numel() == 0 or codes.is_meta:
            return
        low, high = (int(v) for v in codes.aminmax())
        if low < 0 or high >= self.codebook_size:
            raise CodesError(
                "codes",
                f"values span {low} … {high}, the codebook has 0 … {self.codebook_size - 1}",
                "These codes were made with another codebook.",
            )

    def forward(self, z: Tensor) -> Quantized:
        """Quantise with gradients; in training mode the codes enter the usage window."""
        z = self.compared(z)
        codes = self._nearest(z.detach())
        if self.training:
            self._remember(self.gather_codes(codes))
        vectors = self._vectors(codes)
        return Quantized(quantized=z + (vectors - z).detach(), codes=codes, z=z, vectors=vectors)

    def usage(self) -> float:
        """Share of the codebook that occurs in the window, 0 … 1."""
        return int((self._counts() > 0).sum()) / self.codebook_size

    def dead_codes(self) -> Tensor:
        """(K,) bool: codes that do not occur in the window."""
        return self._counts() == 0

    @torch.no_grad()
    def revive(self, z: Tensor, *, generator: torch.Generator) -> int:
        """Move every dead code onto a randomly drawn encoder output of this batch.

        Args:
            z: (B, C, h, w) encoder output.
            generator: draws which outputs, on the CPU.

        Returns:
            How many codes were moved (no more than the batch has vectors).
        """
        dead = self.dead_codes().nonzero().squeeze(1)
        pool = self.compared(z).movedim(1, -1).reshape(-1, self.codebook_dim)
        pick = torch.randperm(pool.shape[0], generator=generator)[: len(dead)].to(pool.device)
        dead = dead[: len(pick)]
        self.embedding.weight[dead] = pool[pick].to(self.embedding.weight.dtype)
        return len(dead)

    def _nearest(self, z: Tensor) -> Tensor:
        flat = z.movedim(1, -1)
        codes = nearest_codes(
            flat.reshape(-1, self.codebook_dim),
            self.codebook().detach(),
            unit_norm=self.l2_normalize,
        )
        return codes.view(flat.shape[:-1])

    def _vectors(self, codes: Tensor) -> Tensor:
        # normalising the few rows looked up, not the whole codebook
        rows = self.embedding(codes).float()
        rows = F.normalize(rows, dim=-1, eps=_EPS) if self.l2_normalize else rows
        return rows.movedim(-1, 1).contiguous()

    def _remember(self, codes: Tensor) -> None:
        window = self.codebook_used
        if window is None:
            return
        recent = codes.flatten()[-window.numel() :].to(window.dtype)
        kept = window[recent.numel() :].clone()
        window[: kept.numel()] = kept
        window[kept.numel() :] = recent

    def _counts(self) -> Tensor:
        if self.codebook_used is None:
            raise ConfigError("codebook usage", "no window of codes is kept", "Set window > 0.")
        seen = self.codebook_used[self.codebook_used >= 0].long()
        return torch.bincount(seen, minlength=self.codebook_size)


def _unchanged(codes: Tensor) -> Tensor:
    return codes
