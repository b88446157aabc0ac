"""Products of two sets: against numpy, also where features share a large offset."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from layton_bench.metrics.sets.gram import Gram

SIDES = ("candidates", "references")


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(("first", "second"), list(product(SIDES, SIDES)))
def test_products_and_distances(first: str, second: str) -> None:
    rng = np.random.default_rng(0)
    rows = {"candidates": rng.standard_normal((70, 6)), "references": rng.standard_normal((50, 6))}
    gram = Gram(rows["candidates"], rows["references"])
    blocks = list(gram.blocks(first, second))
    plain = torch.cat([gram.plain(first, second, part, block) for part, block in blocks])
    squares = [gram.square_distances(first, second, part, block) for part, block in blocks]
    gaps = rows[first][:, None] - rows[second][None]
    np.testing.assert_allclose(plain, rows[first] @ rows[second].T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(torch.cat(squares), (gaps**2).sum(2), rtol=0, atol=1e-12)


def test_distances_keep_their_digits_beside_a_large_offset() -> None:
    rows = np.random.default_rng(1).standard_normal((2, 20, 6))
    far = Gram(rows[0] + 1e6, rows[1] + 1e6)
    ((part, block),) = far.blocks("candidates", "references")
    squares = far.square_distances("candidates", "references", part, block)
    expected = ((rows[0][:, None] - rows[1][None]) ** 2).sum(2)
    # the offset itself rounds rows to 1e-10
    np.testing.assert_allclose(squares, expected, rtol=1e-8, atol=1e-8)
