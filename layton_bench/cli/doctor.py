"""`layton-bench doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby

import typer
from rich.table import Table
from rich.text import Text

from layton_bench.cli.console import State, out
from layton_bench.cli.options import AsJson, DataRoot
from layton_bench.registry import examine


def doctor(
    context: typer.Context,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show which packages, data and weights are found, which are missing, and how to get them."""
    state: State = context.obj
    findings = examine(state.plugins, data_root)
    if as_json:
        out.out(json.dumps([asdict(f) for f in findings], indent=2, ensure_ascii=False))
        return
    for area, members in groupby(findings, key=lambda finding: finding.area):
        table = Table(title=Text(area, style="bold"), title_justify="left", box=None)
        for heading in ("", "name", "found, or how to get it", "enables"):
            table.add_column(heading, overflow="fold")
        for finding in members:
            mark = Text("✓", style="green") if finding.is_found else Text("✗", style="yellow")
            table.add_row(mark, *map(Text, (finding.name, finding.detail, finding.enables)))
        out.print(table)
