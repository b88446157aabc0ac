"""`layton-bench doctor`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import typer
from rich.text import Text

from layton_bench import registry
from layton_bench.cli.console import State, out, print_json
from layton_bench.cli.options import AsJson, DataRoot
from layton_bench.cli.tables import new_table


def doctor(
    context: typer.Context,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show which packages, data and weights are found, which are missing, and how to get them."""
    state: State = context.obj
    findings = registry.examine(state.plugins, data_root)
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for area, members in groupby(findings, key=lambda finding: finding.area):
        headings = ("", "name", "found, or how to get it", "enables")
        table = new_table(*headings, title=area, boxed=False)
        for finding in members:
            mark = Text("✓", style="green") if finding.is_found else Text("✗", style="yellow")
            table.add_row(mark, *map(Text, (finding.name, finding.detail, finding.enables)))
        out.print(table)
