"""`layton-bench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layton_bench.cli.console import out
from layton_bench.cli.options import DEFAULT_RESULTS, Results
from layton_bench.report import build_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    site: Annotated[Path, typer.Option("-o", "--site", help="Folder to write.")] = Path("site"),
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write the results as a folder of HTML pages that need no server and no network."""
    out.print(str(build_report(results, site)), markup=False, highlight=False, soft_wrap=True)
