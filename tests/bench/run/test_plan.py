"""What is selected, and what is refused before any work."""

import json

from lab import Lab
from lab_runs import table
from places import SUPPORT


def test_limit_is_spread_evenly_and_marked_everywhere(lab: Lab) -> None:
    lab.add(5, start=5)
    outcome = lab.run("lab-half", more="--limit 4")
    (record,) = outcome.records
    assert list(table(lab).index) == ["000", "002", "005", "007"]
    assert record.status == "partial"
    done = record.completeness
    assert (done.expected, done.selected, done.effective, done.limit) == (10, 4, 4, 4)
    assert "partial: 4 of 10" in outcome.out
    assert "4 of 10 images" in outcome.out
    words = ("--out", lab.bench.results)
    assert "partial: 4 of 10" in lab.bench("leaderboard", *words).out
    assert "partial: 4 of 10" in lab.bench("list", "runs", *words).out
    assert "partial: 4 of 10" in lab.bench("show", "lab-half", *words).out
    (row, *_) = json.loads(lab.bench("leaderboard", *words, "--format", "json").out)
    assert (row["status"], row["n"], row["expected"]) == ("partial", 4, 10)
    assert record.metrics["psnr"].signature.split("|")[-3] == "n:4"


def test_a_limit_above_the_data_is_the_whole(lab: Lab) -> None:
    (record,) = lab.run("lab-half", more="--limit 99").records
    assert record.status == "complete"


def test_a_suite_that_counts_fewer_takes_them_evenly(lab: Lab, site) -> None:
    text = (SUPPORT / "lab-64.toml").read_text()
    (site.folder / "few.toml").write_text(text.replace("lab-64", "few-64") + "num_samples = 2\n")
    site.plugin(
        "few",
        """
        from pathlib import Path
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_suites(register):
            register(Path(__file__).with_name("few.toml"))
        """,
    )
    words = ["few-64" if word == "lab-64" else word for word in lab.words("lab-half")]
    (record,) = lab.bench(*words).records
    assert list(table(lab).index) == ["000", "002"]
    assert (record.status, record.completeness.missing) == ("complete", 0)


def test_a_data_set_that_lacks_samples_says_how_many(lab: Lab, site) -> None:
    text = (SUPPORT / "lab-64.toml").read_text()
    (site.folder / "many.toml").write_text(text.replace("lab-64", "many-64") + "num_samples = 9\n")
    site.plugin(
        "many",
        """
        from pathlib import Path
        from layton_bench import hookimpl

        @hookimpl
        def layton_bench_register_suites(register):
            register(Path(__file__).with_name("many.toml"))
        """,
    )
    words = ["many-64" if word == "lab-64" else word for word in lab.words("lab-half")]
    outcome = lab.bench(*words)
    (record,) = outcome.records
    assert (record.status, record.completeness.missing) == ("partial", 4)
    assert "partial: 5 of 9" in outcome.out
    shown = lab.bench("show", "lab-half", "--out", lab.bench.results).out
    assert "The data set lacks 4 samples of the suite." in shown


def test_missing_data_says_where_it_is_expected(lab: Lab) -> None:
    outcome = lab.bench(*lab.words("lab-half"), "--data-root", lab.bench.data / "nowhere")
    assert outcome.code == 2
    expected = lab.bench.data / "nowhere" / "lab"
    assert outcome.err == f"Error: {expected}: there is no such folder.\nMake it.\n"


def test_a_slip_in_the_last_name_is_found_before_the_first_run(lab: Lab) -> None:
    outcome = lab.run("lab-half", "lab-gray")
    assert (outcome.code, outcome.records) == (2, [])
    assert "Did you mean lab-grey" in outcome.err


def test_decode_seeds_are_for_decoders_that_draw(lab: Lab) -> None:
    outcome = lab.run("lab-half", more="--decode-seeds 2")
    assert outcome.code == 2
    assert "draws no noise" in outcome.err
