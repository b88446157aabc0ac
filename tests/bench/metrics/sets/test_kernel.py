"""The metrics KID and CMMD."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets import kernel


def test_subsets_smaller_than_a_thousand_are_said() -> None:
    spec = next(spec for spec in kernel.SPECS if spec.name == "kid")
    metric = spec.make(cases.context())
    for batch in cases.batches(cases.pictures(30, 0), cases.pictures(30, 1), 8, list(range(30))):
        metric.update(batch)
    value = metric.compute()
    assert value.note == "subsets of 30, fewer than 1,000" and value.n == 30
    assert value.std == pytest.approx(0, abs=1e-12)  # every subset is the whole


def test_rows_of_length_1_and_a_row_of_zeros() -> None:
    rows = np.array([[3, 4], [0, 0], [-2, 0]], dtype=np.float32)
    assert kernel.unit_rows(rows).tolist() == [[0.6, 0.8], [0, 0], [-1, 0]]
