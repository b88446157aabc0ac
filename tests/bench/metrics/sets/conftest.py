"""Products of two sets, held whole and computed by blocks."""

from __future__ import annotations

import pytest

from layton_bench.metrics.sets import gram


@pytest.fixture(params=["held", "by blocks"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by blocks":
        monkeypatch.setattr(gram, "_HELD_ROWS", 1)
        monkeypatch.setattr(gram, "_BLOCK_ELEMENTS", 700)
