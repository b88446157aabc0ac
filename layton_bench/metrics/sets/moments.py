"""Mean and covariance of features, merging them without loss, and files of them.

The covariance Σ is kept as a root R with RᵀR = Σ. R is the centred rows themselves, as long as
there are no more rows than features. After that it is the triangular factor of their QR
decomposition. The condition number of R is the square root of that of Σ, so digits are kept if Σ is
near singular. Each block is centred by itself, so digits are kept if features share a large offset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.errors import UserError
from layton_bench.machine import writing_whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

_BLOCK_ROWS = 8192
# Entries of an .npz file: those of pytorch-fid and clean-fid, and the spatial ones of the reference
# batches of guided-diffusion.
_ENTRIES = {"pool3": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Mean and covariance of n feature rows.

    Attributes:
        mean: float64 (d,).
        root: float64 (k, d), k ≤ d or k ≤ n; RᵀR is the covariance with divisor n − 1.
        n: number of rows. None if a file does not say it; such moments cannot be merged.
    """

    mean: Array
    root: Array
    n: int | None

    @classmethod
    def of_rows(cls, rows: ArrayLike) -> Moments:
        """Return moments of rows (n, d), n ≥ 1, of any real dtype; sums are in float64."""
        matrix = np.asarray(rows)
        if matrix.ndim != 2 or not len(matrix):
            raise ValueError(f"no rows of features: shape {matrix.shape}")
        blocks = np.array_split(matrix, math.ceil(len(matrix) / _BLOCK_ROWS))
        total = _of_block(blocks[0])
        for block in blocks[1:]:
            total = total.merged(_of_block(block))
        return total

    @classmethod
    def of_covariance(cls, mean: ArrayLike, covariance: ArrayLike) -> Moments:
        """Return moments of a mean (d,) and a covariance (d, d).

        Raises:
            ValueError: shapes do not fit, values are not finite, or it is not symmetric.
        """
        mu, sigma = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
        if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
            raise ValueError(f"a mean of shape {mu.shape} and a covariance of {sigma.shape}")
        if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
            raise ValueError("values that are not finite")
        if not np.allclose(sigma, sigma.T, rtol=1e-6, atol=1e-8 * float(np.abs(sigma).max())):
            raise ValueError("a covariance that is not symmetric")
        values, vectors = _eigh((sigma + sigma.T) / 2)
        return cls(mean=mu, root=np.sqrt(np.maximum(values, 0))[:, None] * vectors.T, n=None)

    def merged(self, other: Moments) -> Moments:
        """Return moments of both sets together (Chan, Golub and LeVeque 1983, on roots)."""
        if self.n is None or other.n is None:
            raise ValueError("moments of unknown size cannot be merged")
        n = self.n + other.n
        shift = (other.mean - self.mean) * math.sqrt(self.n * other.n / n)
        scatter = [
            self.root * math.sqrt(self.n - 1), other.root * math.sqrt(other.n - 1), shift[None],
        ]  # fmt: skip
        mean = self.mean + (other.mean - self.mean) * (other.n / n)
        return Moments(mean=mean, root=_compact(np.concatenate(scatter)) / math.sqrt(n - 1), n=n)

    @property
    def covariance(self) -> Array:
        """Covariance float64 (d, d), with divisor n − 1."""
        return self.root.T @ self.root


def _of_block(block: NDArray[np.floating]) -> Moments:
    rows = block.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    rows -= rows.mean(axis=0)  # what rounding of the mean left
    root = _compact(rows) / math.sqrt(max(len(rows) - 1, 1))
    return Moments(mean=mean, root=root, n=len(rows))


def _compact(scatter: Array) -> Array:
    """Return rows with the same RᵀR, no more than there are columns."""
    import torch

    if len(scatter) <= scatter.shape[1]:
        return scatter
    triangle: Array = torch.linalg.qr(torch.from_numpy(scatter), mode="r")[1].numpy()
    return triangle


def _eigh(symmetric: Array) -> tuple[Array, Array]:
    import torch

    values, vectors = torch.linalg.eigh(torch.from_numpy(symmetric))
    return values.numpy(), vectors.numpy()


def read_statistics(path: Path, *, tap: str = "pool3") -> Moments:
    """Read reference statistics: an ``.npz`` file of pytorch-fid, clean-fid or guided-diffusion.

    Args:
        path: has entries ``mu`` and ``sigma``, or ``mu_s`` and ``sigma_s`` for the spatial ones.
        tap: ``spatial``, or any other tap for ``mu`` and ``sigma``.

    Raises:
        UserError: the file is missing, damaged, or of another kind.
    """
    names = _ENTRIES.get(tap, _ENTRIES["pool3"])
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, Mapping):
                raise ValueError("a single array")
            lacking = [name for name in names if name not in file]
            if lacking:
                raise ValueError(f"no entry {' and '.join(lacking)}, only {', '.join(file)}")
            return Moments.of_covariance(file[names[0]], file[names[1]])
    except FileNotFoundError:
        raise UserError(str(path), "there is no such file", "Check the path.") from None
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise UserError(
            str(path), f"it holds no reference statistics ({error})",
            "Give an .npz file with mu and sigma.",
        ) from error  # fmt: skip


def write_statistics(path: Path, moments: Moments, spatial: Moments | None = None) -> None:
    """Write an ``.npz`` file for pytorch-fid and clean-fid; with ``spatial``, for guided-diffusion.

    Args:
        path: an existing file is replaced as a whole.
        moments: written as ``mu`` and ``sigma``.
        spatial: written as ``mu_s`` and ``sigma_s``.
    """
    arrays = {"mu": moments.mean, "sigma": moments.covariance}
    if spatial is not None:
        arrays |= {"mu_s": spatial.mean, "sigma_s": spatial.covariance}
    with writing_whole(path) as part, part.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
