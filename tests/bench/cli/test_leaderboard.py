"""`layton-bench leaderboard`."""

import json

from lab import Bench, Lab

from layton_bench.records.record import RunRecord


def test_leaderboards_and_show_as_json(lab: Lab) -> None:
    lab.run("lab-half")
    words = ("--out", lab.bench.results)
    rows = json.loads(lab.bench("leaderboard", "--format", "json", *words).out)
    assert [row["metric"] for row in rows] == ["psnr", "level"]
    outcome = lab.bench("show", "lab-half", "--json", *words)
    assert RunRecord.model_validate(json.loads(outcome.out)) == outcome.records[0]
    csv = lab.bench("leaderboard", "--format", "csv", *words).out.splitlines()
    assert csv[0].startswith("suite,model,")
    assert len(csv) == 3


def test_a_leaderboard_without_runs(bench: Bench) -> None:
    assert bench("leaderboard").out == "No runs yet.\n"
    assert bench("leaderboard", "--suite", "photos-256").out == "No runs yet.\n"


def test_a_leaderboard_sorted_by_an_unknown_metric(lab: Lab) -> None:
    lab.run("lab-half")
    outcome = lab.bench("leaderboard", "--sort", "fid", "--out", lab.bench.results)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Use one of level, psnr." in outcome.err


def test_runs_that_others_replace_are_counted(lab: Lab) -> None:
    lab.run("lab-half")
    assert "Not shown" not in lab.bench("leaderboard", "--out", lab.bench.results).err
    lab.run("lab-half", more="--limit 2")
    done = lab.bench("leaderboard", "--out", lab.bench.results)
    assert "Not shown: 1 runs, replaced by newer or complete runs" in done.err
    assert done.out.count("lab-half") == 1
