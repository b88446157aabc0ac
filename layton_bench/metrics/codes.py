"""How a tokenizer uses its codebook: usage, entropy, perplexity, dead codes, duplicates.

All codes of all images of the evaluation are counted. With p_k the share of code k:

    codebook-usage       distinct codes seen / codebook_size
    codebook-entropy     H = − Σ p_k log2 p_k, in bits; at most log2(codebook_size)
    codebook-perplexity  2^H = exp of the entropy in nats
    dead-codes           entries never seen
    duplicate-sequences  images whose codes are identical to another image's

Some training logs show the usage in a sliding window of recent codes, which is another number. All
of these depend on the number of images: compare them at equal n.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Self

import numpy as np

from layton_bench.errors import ModelOutputError
from layton_bench.metrics.base import Direction, MetricSpec
from layton_bench.types import MetricValue, ScoredBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from layton_bench.metrics.state import State

_NO_CODES = "the model has no discrete codes"
_DIGEST_BYTES = 16


def code_counts(batch: ScoredBatch) -> NDArray[np.int64] | None:
    """Return how often each code occurs in the batch, int64 (codebook_size,).

    Returns None if the batch has no discrete codes.

    Raises:
        ModelOutputError: a code is outside its codebook.
    """
    import torch

    held = batch.codes
    if held is None or held.codes is None or held.codebook_size is None:
        return None
    low, high = (int(bound) for bound in held.codes.aminmax())
    if low < 0 or high >= held.codebook_size:
        raise ModelOutputError(f"codes of {low}..{high} are outside [0, {held.codebook_size})")
    counts: NDArray[np.int64] = (
        torch.bincount(held.codes.flatten(), minlength=held.codebook_size).cpu().numpy()
    )
    return counts


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """Return the entropy − Σ p log2 p of counts, in bits."""
    share = counts[counts > 0] / counts.sum()
    # adding 0.0 turns the −0.0 of a single code into 0.0
    return float(-(share * np.log2(share)).sum()) + 0.0


class CodeCounts:
    """Counts all codes, and returns one statistic of the counts.

    Args:
        statistic: counts int64 (codebook_size,) → value.
    """

    def __init__(self, statistic: Callable[[NDArray[np.int64]], float]) -> None:
        self._statistic = statistic
        self._counts: NDArray[np.int64] | None = None
        self._n = 0

    def update(self, batch: ScoredBatch) -> None:
        """Count the codes of a batch."""
        counts = batch.shared("code counts", lambda: code_counts(batch))
        if counts is not None:
            self._add(counts, len(batch))

    def merge(self, other: Self) -> None:
        """Add another accumulator's counts."""
        if other._counts is not None:
            self._add(other._counts, other._n)

    def state(self) -> State:
        """Return counts (codebook_size,) and the number of images; counts (0,) before the first."""
        counts = np.zeros(0, dtype=np.int64) if self._counts is None else self._counts
        return {"counts": counts, "n": np.array(self._n)}

    def load_state(self, state: State) -> None:
        """Replace the counts by those of a state."""
        counts = np.asarray(state["counts"], dtype=np.int64)
        self._counts = counts.copy() if len(counts) else None
        self._n = int(state["n"])

    def compute(self) -> MetricValue:
        """Return the statistic. Its note warns if there are fewer codes than codebook entries."""
        if self._counts is None:
            return MetricValue(value=None, n=0, note=_NO_CODES)
        drawn, size = int(self._counts.sum()), len(self._counts)
        note = f"only {drawn:,} codes for {size:,} entries" if drawn < size else ""
        return MetricValue(value=self._statistic(self._counts), n=self._n, note=note)

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return no columns: this is a statistic of the whole set."""
        return {}

    def _add(self, counts: NDArray[np.int64], n: int) -> None:
        if self._counts is None:
            self._counts = counts.astype(np.int64)
        elif len(self._counts) != len(counts):
            raise ModelOutputError(
                f"the codebook size changed from {len(self._counts)} to {len(counts)}"
            )
        else:
            self._counts += counts
        self._n += n


class DuplicateSequences:
    """Counts images whose codes are identical to another image's.

    That is n less the number of distinct sequences. Of each distinct sequence, a digest of 16 bytes
    is kept.
    """

    def __init__(self) -> None:
        self._digests: Counter[bytes] = Counter()

    def update(self, batch: ScoredBatch) -> None:
        """Add the sequences of a batch."""
        if batch.codes is None or batch.codes.codes is None:
            return
        for row in batch.codes.codes.cpu().numpy().astype("<i8"):
            self._digests[blake2b(row.tobytes(), digest_size=_DIGEST_BYTES).digest()] += 1

    def merge(self, other: Self) -> None:
        """Add another accumulator's sequences."""
        self._digests.update(other._digests)

    def state(self) -> State:
        """Return digests uint8 (M, 16), sorted, and how often each occurred, int64 (M,)."""
        digests = sorted(self._digests)
        table = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
        return {"digests": table, "times": np.array([self._digests[d] for d in digests], np.int64)}

    def load_state(self, state: State) -> None:
        """Replace the sequences by those of a state."""
        rows = zip(state["digests"], state["times"].tolist(), strict=True)
        self._digests = Counter({row.tobytes(): times for row, times in rows})

    def compute(self) -> MetricValue:
        """Return the number of images beyond the first of each sequence."""
        n = self._digests.total()
        if n == 0:
            return MetricValue(value=None, n=0, note=_NO_CODES)
        return MetricValue(value=float(n - len(self._digests)), n=n)

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return no columns: this is a statistic of the whole set."""
        return {}


def _spec(
    name: str,
    label: str,
    direction: Direction,
    summary: str,
    statistic: Callable[[NDArray[np.int64]], float],
    digits: int,
) -> MetricSpec:
    return MetricSpec(
        name=name,
        label=label,
        direction=direction,
        summary=summary,
        make=lambda _: CodeCounts(statistic),
        digits=digits,
        needs=frozenset({"codebook"}),
    )


SPECS: tuple[MetricSpec, ...] = (
    _spec(
        "codebook-usage",
        "Codebook usage",
        "higher",
        "distinct codes seen in the whole evaluation, divided by the codebook size",
        lambda counts: float(np.count_nonzero(counts) / len(counts)),
        digits=4,
    ),
    _spec(
        "codebook-entropy",
        "Code entropy",
        "none",
        "entropy of the codes' frequencies, in bits",
        entropy_bits,
        digits=3,
    ),
    _spec(
        "codebook-perplexity",
        "Perplexity",
        "none",
        "2 to the power of the code entropy: an effective number of codes",
        lambda counts: 2 ** entropy_bits(counts),
        digits=1,
    ),
    _spec(
        "dead-codes",
        "Dead codes",
        "lower",
        "codebook entries never seen in the evaluation",
        lambda counts: float(len(counts) - np.count_nonzero(counts)),
        digits=0,
    ),
    MetricSpec(
        name="duplicate-sequences",
        label="Duplicates",
        direction="lower",
        summary="images whose codes are identical to another image's",
        make=lambda _: DuplicateSequences(),
        digits=0,
        needs=frozenset({"codebook"}),
    ),
)
