"""`layton-bench compare`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer
from rich.text import Text

from layton_bench import compare as comparing, records
from layton_bench.cli.console import out, print_json, print_line, print_note, print_text
from layton_bench.cli.options import DEFAULT_RESULTS, Results
from layton_bench.cli.tables import new_table, print_frame
from layton_bench.errors import NotComparableError

REGRESSION, NOT_COMPARABLE = 1, 3


def compare(
    baseline: Annotated[
        str, typer.Argument(help="Run A: its folder, its id or the start of the id, or a model.")
    ],
    now: Annotated[str, typer.Argument(help="Run B.")],
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Significance level.")] = 0.05,
    seed: Annotated[  # noqa: ARG001, scripts may give it
        int, typer.Option(hidden=True, help="Has no effect: nothing here is random.")
    ] = 0,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw the samples that changed most into this file, such as moved.png."),
    ] = None,
    form: Annotated[
        Literal["table", "md", "json"], typer.Option("--format", help="Format of the output.")
    ] = "table",
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Say for each metric whether run B is better or worse than run A, or whether neither is shown.

    Exit codes: 0 no regression, 1 regression, 2 usage error, 3 not comparable.
    """
    first, second = records.find_run(results, baseline), records.find_run(results, now)
    try:
        comparison = comparing.compare(first, second, alpha=alpha)
    except NotComparableError as error:
        print_note(f"Not comparable: {error}")
        raise typer.Exit(NOT_COMPARABLE) from None
    if picture is not None:
        _draw(comparison, first, second, picture)
    if form == "json":
        for line in comparing.run_lines(comparison):
            print_note(line)
        print_json([asdict(difference) for difference in comparison.differences])
    elif form == "md":
        address = None if picture is None else quote(picture.as_posix())
        print_text(comparing.to_markdown(comparison, picture=address))
    else:
        _print(comparison)
    if comparison.is_regression:
        raise typer.Exit(REGRESSION)


def _draw(
    comparison: comparing.Comparison,
    first: records.StoredRun,
    second: records.StoredRun,
    path: Path,
) -> None:
    missing = comparing.write_moved_sheet(comparison, first, second, path)
    print_note(f"Samples that changed most: {path}")
    if missing:
        print_note(
            f"{missing} of its {2 * len(comparison.moved)} images were not kept."
            " Rerun with --keep-images to keep all images."
        )


def _print(comparison: comparing.Comparison) -> None:
    for line in comparing.run_lines(comparison):
        print_line(line)
    headings, rows = comparing.comparison_rows(comparison)
    table = new_table(*headings)
    styles = {"worse": "bold red", "better": "green"}
    for row in rows:
        table.add_row(*(Text(cell, style=styles.get(row[-1], "")) for cell in row))
    out.print(table)
    for difference in comparison.differences:
        if difference.note:
            print_line(f"  {difference.label}: {difference.note}")
    if len(comparison.moved):
        print_frame(comparison.moved, "Samples that changed most")
