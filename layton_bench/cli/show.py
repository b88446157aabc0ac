"""`layton-bench show`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from layton_bench.cli.console import err, out
from layton_bench.cli.options import DEFAULT_RESULTS, AsJson, Results, RunName
from layton_bench.records import (
    describe,
    extremes,
    find_run,
    picture_path,
    read_samples,
    write_contact_sheet,
)


def show(
    run: RunName,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Show a run: its record in words, its worst and best samples, and a contact sheet."""
    stored = find_run(results, run)
    if as_json:
        out.out(stored.record.model_dump_json(indent=2), highlight=False)
    else:
        out.print(Text(describe(stored.record)), soft_wrap=True)
        chosen = extremes(stored.record, read_samples(stored.folder, stored.record))
        table = Table(*chosen.columns, box=None, title="Worst and best samples")
        for row in chosen.itertuples(index=False, name=None):
            table.add_row(*(Text(f"{v:.3f}" if isinstance(v, float) else str(v)) for v in row))
        out.print(table)
    saved = [image.candidate for image in stored.record.images]
    if any(picture_path(stored, name) for name in saved):
        path = write_contact_sheet(stored)
        err.print(f"Contact sheet: {path}", markup=False, soft_wrap=True)
    elif saved:  # as in results that were committed without pictures
        err.print(
            "The images of this run are missing, so there is no contact sheet.", soft_wrap=True
        )
