"""`layton-bench show`."""

from __future__ import annotations

from layton_bench import records
from layton_bench.cli.console import print_json_text, print_line, print_note
from layton_bench.cli.options import DEFAULT_RESULTS, AsJson, Results, RunName
from layton_bench.cli.tables import print_frame


def show(
    run: RunName,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Show a run: its record in words, its worst and best samples, and a contact sheet."""
    stored = records.find_run(results, run)
    if as_json:
        print_json_text(stored.record.model_dump_json(indent=2))
    else:
        print_line(records.describe(stored.record))
        chosen = records.extremes(stored.record, records.read_samples(stored.folder, stored.record))
        print_frame(chosen, "Worst and best samples")
    saved = [image.candidate for image in stored.record.images]
    if any(records.picture_path(stored, name) for name in saved):
        path = records.write_contact_sheet(stored)
        print_note(f"Contact sheet: {path}")
    elif saved:  # as in results that were committed without pictures
        print_note("The images of this run are missing, so there is no contact sheet.")
