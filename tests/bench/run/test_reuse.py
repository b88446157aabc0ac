"""A run that exists: reused, redone, or given the metrics it lacks."""

import json

import numpy as np
import pandas as pd
import pytest
from lab import Lab
from lab_runs import comparable, psnr_by_hand, table

from layton_bench.records.folder import SAMPLES
from layton_bench.records.results import stored_runs


def test_a_run_that_exists_is_not_repeated(lab: Lab) -> None:
    first = lab.run("lab-half")
    again = lab.run("lab-half")
    assert again.records == first.records
    assert "this run exists already" in again.err
    assert first.out == again.out


def test_only_missing_adds_metrics_as_a_fresh_run_would_have_them(lab: Lab) -> None:
    lab.run("lab-noisy", more="--metric psnr")
    never = lab.run("lab-noisy")
    assert "lacks level" in never.err
    assert "Add them with --overwrite only-missing" in never.err
    assert list(never.records[0].metrics) == ["psnr"]
    (merged,) = lab.run("lab-noisy", more="--overwrite only-missing").records
    frame, images = table(lab), merged.images
    assert list(merged.metrics) == ["psnr", "level"]
    (fresh,) = lab.run("lab-noisy", more="--overwrite always").records
    assert comparable(merged) == comparable(fresh)
    pd.testing.assert_frame_equal(frame[sorted(frame)], table(lab)[sorted(frame)])
    assert images == fresh.images


def test_only_missing_keeps_the_pictures_of_the_first_pass(lab: Lab) -> None:
    lab.run("lab-half", more="--metric psnr")
    before = {p.name: p.read_bytes() for p in lab.bench.results.glob("*/*/*/images/*")}
    lab.run("lab-half", more="--overwrite only-missing")
    after = {p.name: p.read_bytes() for p in lab.bench.results.glob("*/*/*/images/*")}
    assert before == after
    assert len(after) == 10


def test_only_missing_does_nothing_where_nothing_can_be_added(lab: Lab) -> None:
    asked = "--metric psnr --metric lab-packaged"
    (first,) = lab.run("lab-half", more=asked).records
    assert first.metrics["lab-packaged"].unavailable == (
        "package 'no_such_package_here' is not installed; run pip install 'layton-bench[lab]'"
    )
    again = lab.run("lab-half", more=f"{asked} --overwrite only-missing")
    assert again.records == [first]
    assert "lacks" not in again.err


def test_only_missing_refuses_to_mix_samples(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run("lab-half", more="--metric psnr")
    from fakes import Scaled

    def fail(self, codes, seeds):
        raise ArithmeticError("lost")

    calls = iter([fail])
    decode = Scaled.decode
    monkeypatch.setattr(Scaled, "decode", lambda *a: next(calls, decode)(*a))
    outcome = lab.run("lab-half", more="--overwrite only-missing --batch-size 1")
    assert outcome.code == 2
    assert "other samples failed this time" in outcome.err
    assert list(outcome.records[0].metrics) == ["psnr"]


def test_a_truncated_table_is_refused(lab: Lab) -> None:
    lab.run("lab-half", more="--metric psnr")
    path = stored_runs(lab.bench.results)[0].folder / SAMPLES
    path.write_bytes(path.read_bytes()[:100])
    for words in (("show", "lab-half"),):
        outcome = lab.bench(*words, "--out", lab.bench.results)
        assert outcome.code == 2
        assert "samples.parquet: it does not match its digest" in outcome.err
    outcome = lab.run("lab-half", more="--overwrite only-missing")
    assert outcome.code == 2
    assert "samples.parquet: it does not match its digest" in outcome.err


def test_an_edited_record_is_named_and_the_run_is_made_again(lab: Lab) -> None:
    lab.run("lab-half")
    path = stored_runs(lab.bench.results)[0].folder / "record.json"
    raw = json.loads(path.read_text())
    raw["metrics"]["psnr"]["value"] = 99.0
    path.write_text(json.dumps(raw))
    outcome = lab.bench("leaderboard", "--out", lab.bench.results)
    assert "99" not in outcome.out
    assert "it does not match its digest" in outcome.err
    outcome = lab.run("lab-half")
    assert outcome.code == 0
    assert [r.metrics["psnr"].value for r in outcome.records] == [
        pytest.approx(np.mean([psnr_by_hand(i) for i in range(5)]))
    ]
    assert not path.exists()


def test_another_machine_is_told_when_passes_are_merged(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.run("lab-half", more="--metric psnr")
    monkeypatch.setattr("layton_bench.machine.provenance._processor", lambda: "another")
    outcome = lab.run("lab-half", more="--overwrite only-missing")
    assert "its first metrics were computed on " in outcome.err


def test_a_reused_run_names_the_metric_that_it_lacks(lab: Lab) -> None:
    asked = "--metric psnr --metric lab-packaged"
    lab.run("lab-half", more=asked)
    again = lab.run("lab-half", more=asked)
    assert again.code == 0
    assert "metric 'lab-packaged' unavailable: package 'no_such_package_here'" in again.err


@pytest.mark.parametrize("overwrite", ["never", "only-missing"])
def test_strict_refuses_an_old_run_that_lacks_a_metric(lab: Lab, overwrite: str) -> None:
    asked = f"--metric psnr --metric lab-packaged --overwrite {overwrite}"
    lab.run("lab-half", more=asked)
    again = lab.run("lab-half", more=f"{asked} --strict")
    assert again.code == 2
    assert "metric 'lab-packaged': package 'no_such_package_here' is not installed" in again.err


def test_strict_refuses_an_old_run_that_lost_a_sample(lab: Lab) -> None:
    (lab.pictures / "002.png").write_bytes(b"")
    lab.run("lab-half")
    again = lab.run("lab-half", more="--strict")
    assert again.code == 2
    assert "sample '002': it failed in run " in again.err
    assert "the file is empty (0 bytes) (stage: read)" in again.err
