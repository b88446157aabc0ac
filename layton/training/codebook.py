"""A codebook that follows its vectors as a moving average instead of by gradients.

van den Oord et al., arXiv 1711.00937, appendix A.1: N_i ← γ N_i + (1 − γ) n_i,
m_i ← γ m_i + (1 − γ) Σ z, e_i = m_i / N_i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from layton.tokenizer import Quantized, Quantizer

__all__ = ["EMACodebook"]


class EMACodebook(nn.Module):
    """Running counts and sums of the vectors assigned to each code.

    Args:
        quantizer: the averages replace its codebook; its weight has no gradient.
        decay: γ.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, quantizer: Quantizer, *, decay: float) -> None:
        super().__init__()
        self.decay = decay
        # in a tuple, or the quantiser would be this module's child too
        self._quantizer = (quantizer,)
        self.register_buffer("counts", torch.zeros(quantizer.codebook_size))
        self.register_buffer("sums", torch.zeros_like(quantizer.embedding.weight))

    @torch.no_grad()
    def update(self, quantized: Quantized) -> None:
        """Add the assignments of one batch, over all processes.

        A code that has never been assigned a vector stays where it is.
        """
        from accelerate.utils import reduce

        (quantizer,) = self._quantizer
        flat = quantized.z.detach().movedim(1, -1).reshape(-1, quantizer.codebook_dim).float()
        codes = quantized.codes.flatten()
        counts = torch.zeros_like(self.counts).index_add_(0, codes, torch.ones_like(flat[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, codes, flat)
        counts, sums = reduce(counts, "sum"), reduce(sums, "sum")
        self.counts.lerp_(counts, 1.0 - self.decay)
        self.sums.lerp_(sums, 1.0 - self.decay)
        seen = counts > 0
        weight = quantizer.embedding.weight
        weight[seen] = (self.sums[seen] / self.counts[seen, None]).to(weight.dtype)

    @torch.no_grad()
    def restart(self, moved: Tensor) -> None:
        """Restart the averages of codes at their vectors.

        Args:
            moved: bool (K,), True for codes that were just moved.
        """
        (quantizer,) = self._quantizer
        share = 1.0 - self.decay  # as if one vector had been assigned
        self.counts[moved] = share
        self.sums[moved] = quantizer.embedding.weight[moved].float() * share
