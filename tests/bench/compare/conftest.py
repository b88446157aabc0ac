from pathlib import Path

import pytest
from sheet_cases import run_of

from layton_bench.records.results import StoredRun


@pytest.fixture
def runs(tmp_path: Path) -> tuple[StoredRun, StoredRun]:
    first = run_of(tmp_path, 1, {"a": 10, "b": 20}, {"a": 30.0, "b": 31.0, "c": 32.0})
    second = run_of(tmp_path, 2, {"b": 26}, {"a": 30.5, "b": 27.0, "c": 32.0})
    return first, second
