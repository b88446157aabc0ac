"""From logits to tokens: guidance, temperature, top-k, top-p and the draw, as pure functions.

Axes: B images, V codebook entries.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layton.generator.config import Sampling

__all__ = [
    "choose",
    "filter_logits",
    "guide",
    "gumbel_noise",
    "philox",
    "seed_keys",
]


def guide(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Guided logits: uncond + w · (cond − uncond) (arXiv 2207.12598)."""
    return uncond + (cond - uncond) * scale


def filter_logits(logits: Tensor, *, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Set the entries that top-k, then top-p, remove to −∞.

    Entries equal to the k-th largest all stay. Top-p counts over what top-k left and keeps the
    entry that crosses the threshold, so one entry always stays (arXiv 1904.09751).

    Args:
        logits: (B, V).
        top_k: 0 is off; more than V keeps all.
        top_p: 1.0 is off.
    """
    if top_k:
        kth = logits.topk(min(top_k, logits.shape[-1]), sorted=True).values[..., -1:]
        logits = logits.masked_fill(logits < kth, -math.inf)
    if top_p < 1.0:
        ordered, order = logits.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1).roll(1, -1)
        before[..., 0] = 0.0
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before > top_p)
        logits = logits.masked_fill(dropped, -math.inf)
    return logits


def choose(logits: Tensor, sampling: Sampling, noise: Tensor | None = None) -> Tensor:
    """Draw one token per row.

    argmax(logits + Gumbel noise) is a draw from softmax(logits).

    Args:
        logits: float32 (B, V).
        sampling: temperature, top-k, top-p.
        noise: standard Gumbel (B, V); needed unless greedy.

    Returns:
        int64 (B,).
    """
    if sampling.is_greedy:
        return logits.argmax(-1)
    assert noise is not None
    # the published loop divides by at least 1e-5
    logits = logits / max(sampling.temperature, 1e-5)
    return (filter_logits(logits, top_k=sampling.top_k, top_p=sampling.top_p) + noise).argmax(-1)


_MASK = 0xFFFFFFFF


def philox(counter: Sequence[Tensor], key: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four 32-bit words from a counter and a key (Salmon et al., SC 2011).

    Stateless and the same on every device: what is drawn for (seed, step, token) depends on
    nothing else.

    Args:
        counter: four int64 tensors that broadcast, values in [0, 2³²).
        key: two likewise.

    Returns:
        four int64 tensors in [0, 2³²).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # int64 products wrap, which leaves the bits of the unsigned product
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c2 = ((p1 >> 32) ^ c1 ^ k0) & _MASK, ((p0 >> 32) ^ c3 ^ k1) & _MASK
        c1, c3 = p1 & _MASK, p0 & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def seed_keys(seeds: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """The low and high 32 bits of each seed: int64 (B, 2)."""
    words = [(seed & _MASK, (seed >> 32) & _MASK) for seed in seeds]
    return torch.tensor(words, dtype=torch.int64, device=device).view(len(words), 2)


def gumbel_noise(keys: Tensor, step: int, size: int) -> Tensor:
    """Standard Gumbel noise of one decode step, float32 (B, size).

    Args:
        keys: int64 (B, 2) from `seed_keys`.
        step: index of the token that is drawn.
        size: V.
    """
    blocks = torch.arange(-(-size // 4), device=keys.device)
    zero = torch.zeros_like(blocks[:1])
    words = philox((blocks, zero + step, zero, zero), keys.T[:, :, None].unbind(0))
    bits = torch.stack(words, -1).flatten(1)[:, :size]
    # fine steps near 0, where the winners are; below 1, because the noise of 1 is −∞
    uniform = (bits.float() + 0.5).mul_(2.0**-32).clamp_(max=1 - 2.0**-24)
    return _exponential(uniform).log_().neg_()


def _exponential(uniform: Tensor) -> Tensor:
    """−log(1 − u) without cancellation near 0.

    With w = 1 − u as rounded, log(w) / (w − 1) varies so slowly that its error does not matter
    (Higham, Accuracy and Stability of Numerical Algorithms, section 1.14.1); log1p itself is an
    order of magnitude slower on CPUs.
    """
    rest = 1.0 - uniform
    difference = 1.0 - rest
    ratio = rest.log().neg_().div_(difference).masked_fill_(difference == 0, 1.0)
    return ratio.mul_(uniform)
