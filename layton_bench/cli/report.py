"""`layton-bench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layton_bench import report as reporting
from layton_bench.cli.console import print_line
from layton_bench.cli.options import DEFAULT_RESULTS, Results


def report(
    site: Annotated[Path, typer.Option("-o", "--site", help="Folder for the pages.")] = Path(
        "site"
    ),
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write the results as HTML pages that need no server and no network."""
    print_line(str(reporting.build_report(results, site)))
