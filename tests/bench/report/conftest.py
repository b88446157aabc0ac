from pathlib import Path

import pytest
from report_site import hostile_results

from layton_bench.report import build_report


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return build_report(hostile_results(folder / "results"), folder / "site").parent
