"""Build the report: read the records, render the pages, put the folder in place in one rename."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton_bench.errors import UserError, output_error
from layton_bench.leaderboard import FRONT_NOTE, Board, Reported, boards, read_reported, render
from layton_bench.machine import temporary_folder
from layton_bench.records import RunRecord, StoredRun, latest, stored_runs
from layton_bench.report.boards import view_board
from layton_bench.report.origins import view_origin
from layton_bench.report.pictures import PictureStore, view_gallery
from layton_bench.report.public import known_roots, public_copy, public_text

if TYPE_CHECKING:
    import jinja2

MARKER = ".layton-bench-report"
"""Only a folder that holds this file may be replaced."""


def build_report(results: Path, site: Path) -> Path:
    """Write the report of a results folder into ``site`` and return the path of its first page.

    The folder appears, or is replaced, only after every page is written.

    Raises:
        UserError: there are no runs, ``site`` holds other files, or it cannot be written.
    """
    runs = latest(stored_runs(results))
    if not runs:
        raise UserError(
            f"results folder {results}", "it has no runs", "Make one with `layton-bench run`."
        )
    _check_replaceable(site)
    public = public_text(known_roots(results, (run.record for run in runs)))
    published = [replace(run, record=public_copy(run.record, public)) for run in runs]
    reported = [public_copy(row, public) for row in read_reported(results)]
    try:
        with temporary_folder(site.parent) as temporary:
            made = temporary / "site"
            made.mkdir()
            _write_pages(published, reported, made)
            if site.is_dir():
                site.rename(temporary / "old")
            made.rename(site)
    except OSError as error:
        raise output_error(site, error) from error
    return site / "index.html"


def _check_replaceable(site: Path) -> None:
    if site.is_dir() and (not any(site.iterdir()) or (site / MARKER).is_file()):
        return
    if site.exists():
        raise UserError(
            f"site folder {site}", "it holds files that are not a report", "Name another folder."
        )


def _write_pages(stored: list[StoredRun], reported: list[Reported], site: Path) -> None:
    runs = {run.record.run_id: run for run in stored}
    made = boards((run.record for run in stored), stored=stored)
    ordered = [record for board in made for record in board.records]
    numbers = {record.run_id: number for number, record in enumerate(ordered, start=1)}
    store = PictureStore(site / "images")
    views = [
        view_board(number, board, lambda record: numbers[record.run_id])
        for number, board in enumerate(made, start=1)
    ]
    environment = _environment()

    def write(name: str, template: str, **values: Any) -> None:
        text = environment.get_template(template).render(views=views, **values)
        (site / name).write_text(text, encoding="utf-8")

    write(
        "index.html", "index.html.j2", reported=reported, summary=_summary(ordered, made),
        front_note=FRONT_NOTE,
    )  # fmt: skip
    origins = [
        view_origin(numbers[record.run_id], board.name(record), record)
        for board in made
        for record in board.records
    ]
    write("provenance.html", "provenance.html.j2", origins=origins)
    for view, board in zip(views, made, strict=True):
        gallery = view_gallery(board, runs, numbers, store)
        write(f"gallery-{view.number}.html", "gallery.html.j2", board=view, gallery=gallery)
    _write_tables(site, made, reported)
    with as_file(files(__package__) / "assets") as assets:
        shutil.copytree(assets, site / "assets")
    (site / MARKER).write_text("made by layton-bench report\n", encoding="utf-8")


def _write_tables(site: Path, made: list[Board], reported: list[Reported]) -> None:
    """Write the same values for scripts and papers."""
    for form, suffix in (("md", "md"), ("csv", "csv"), ("json", "json"), ("latex", "tex")):
        text = render(made, form, published=reported)  # type: ignore[arg-type]
        (site / f"leaderboard.{suffix}").write_text(text, encoding="utf-8")


def _summary(records: list[RunRecord], made: list[Board]) -> str:
    models = len({record.model.name for record in records})
    suites = len({record.suite.name for record in records})
    newest = max(record.started for record in records)[:10]
    counts = ((len(records), "run"), (models, "model"), (suites, "suite"), (len(made), "table"))
    runs, of, on, tables = (f"{n} {word}{'s' * (n != 1)}" for n, word in counts)
    return f"{runs} of {of} on {on} in {tables}; the newest run is from {newest}."


def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("layton_bench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
