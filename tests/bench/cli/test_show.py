"""`layton-bench show`."""

import shutil

from lab import Bench, Lab


def test_a_run_is_shown_in_words(lab: Lab) -> None:
    lab.run("lab-half")
    outcome = lab.bench("show", "lab-half", "--out", lab.bench.results)
    (record,) = outcome.records
    assert f"run {record.run_id}" in outcome.out
    assert record.metrics["psnr"].signature in outcome.out
    assert "worst 1" in outcome.out
    assert "Contact sheet: " in outcome.err


def test_a_run_without_its_pictures_is_shown_without_a_sheet(lab: Lab) -> None:
    (record,) = lab.run("lab-half").records
    shutil.rmtree(lab.bench.results / "lab-64" / "lab-half" / record.run_id / "images")
    shown = lab.bench("show", "lab-half", "--out", lab.bench.results)
    assert shown.code == 0
    assert "PSNR" in shown.out
    assert "The images of this run are missing, so there is no contact sheet." in shown.err


def test_an_unknown_run(bench: Bench) -> None:
    outcome = bench("show", "nothing")
    assert (outcome.code, outcome.out) == (2, "")
    assert "`layton-bench list runs` lists all runs" in outcome.err
