"""`layton-bench run`: options, streams, Ctrl-C."""

import json
import signal
import time
from pathlib import Path

import pytest
from fakes import metric_spec
from lab import Bench, Lab
from processes import Slow, process

from layton_bench.records.record import RunRecord
from layton_bench.records.results import stored_runs


def test_missing_data_names_the_path_and_how_to_get_it(bench: Bench) -> None:
    words = ["run", "--suite", "coco5k-256", "--model", "identity", "--metric", "psnr"]
    outcome = bench(*words, "--data-root", bench.data)
    assert outcome.code == 2
    assert str(bench.data / "val2017") in outcome.err
    assert "images.cocodataset.org" in outcome.err
    outcome = bench(*words)
    assert outcome.code == 2
    assert "no data root was given" in outcome.err


def test_options_are_checked_before_work(bench: Bench) -> None:
    words = ["run", "--suite", "photos-256", "--model", "identity"]
    for more, reason in {
        "--dtype fp16": "dtype 'fp16': it is not supported",
        "--device tpu": "device 'tpu': torch knows no such device",
        "--batch-size 0": "--batch-size 0: not a positive number",
        "--limit 0": "--limit 0: not a positive number",
        "--set steps=4": "model 'identity' has no such option. It has: none",
    }.items():
        outcome = bench(*words, *more.split())
        assert (outcome.code, outcome.out) == (2, ""), more
        assert reason in " ".join(outcome.err.split())
    outcome = bench(*words, "--seed", "-1")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--seed" in outcome.err


def test_run_as_json_is_the_record_and_nothing_else(lab: Lab) -> None:
    outcome = lab.run("lab-half", "lab-grey", more="--json")
    records = [RunRecord.model_validate(raw) for raw in json.loads(outcome.out)]
    assert records == outcome.records
    assert "lab-half on lab-64" in outcome.err
    assert "Record, samples and images: " in outcome.err
    assert "Leaderboard: " in outcome.err


def test_tables_go_to_stdout_and_all_else_to_stderr(lab: Lab) -> None:
    lab.add_bad()
    outcome = lab.run("lab-nan")
    assert "PSNR (dB) ↑" in outcome.out
    assert "Failed" not in outcome.out
    assert "Failed (decode): bad" in outcome.err
    assert "lab-nan on lab-64" in outcome.err
    folder = stored_runs(lab.bench.results)[0].folder
    assert f"Record, samples and images: {folder}" in outcome.err


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_a_read_only_working_folder(lab: Lab) -> None:
    done = process(*lab.words("lab-half"), "--json", cwd=Path("/proc"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["status"] == "complete"
    words = lab.words("lab-half")
    at = words.index("--out")
    done = process(*words[:at], *words[at + 2 :], cwd=Path("/proc"))
    assert done.returncode == 2
    assert "output folder results: cannot be written" in done.stderr


@pytest.fixture
def slow(lab: Lab, tmp_path: Path):
    running = Slow(lab, tmp_path)
    yield running
    running.process.kill()
    running.process.communicate()


def test_ctrl_c_writes_a_record_of_what_was_done(lab: Lab, slow: Slow) -> None:
    slow.wait_for_batch(2)
    slow.press()
    code, out, err = slow.finish()
    assert code == 130
    (stored,) = stored_runs(lab.bench.results)
    record = stored.record
    assert record.status == "interrupted"
    assert record.completeness.expected == 5
    assert record.completeness.effective == record.metrics["psnr"].n == 2
    assert "interrupted at 2 of 5" in out
    assert "press Ctrl-C again to stop at once" in " ".join(err.split())
    # and it is not taken for the whole: the next run computes all
    again = lab.run("lab-slow", more=f"--set marks={slow.marks}")
    assert [r.status for r in again.records] == ["complete"]


def test_sigterm_writes_a_record_of_what_was_done(lab: Lab, slow: Slow) -> None:
    slow.wait_for_batch(1)
    slow.press(signal.SIGTERM)
    code, out, err = slow.finish()
    assert code == 143
    (stored,) = stored_runs(lab.bench.results)
    assert stored.record.status == "interrupted"
    assert stored.record.completeness.effective == stored.record.metrics["psnr"].n == 1
    assert "interrupted at 1 of 5" in out
    assert "Interrupted." in err


def test_a_second_ctrl_c_leaves_nothing_that_looks_complete(lab: Lab, slow: Slow) -> None:
    slow.wait_for_batch(1)
    slow.press()
    time.sleep(0.15)  # two signals at once would be one; a batch takes half a second
    slow.press()
    code, out, err = slow.finish()
    assert (code, out) == (130, "")
    assert "Interrupted." in err
    assert stored_runs(lab.bench.results) == []
    assert list(lab.bench.results.rglob("record.json")) == []


def test_a_killed_run_leaves_no_record(lab: Lab, slow: Slow) -> None:
    slow.wait_for_batch(2)
    slow.process.kill()
    slow.finish()
    assert stored_runs(lab.bench.results) == []
    assert list(lab.bench.results.rglob("record.json")) == []


def test_several_models_stop_at_ctrl_c(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(batch) -> list[float]:
        signal.raise_signal(signal.SIGINT)
        return [1.0] * len(batch)

    from layton_bench.registry.plugins import Plugins as Registered

    specs = {"level": metric_spec("level", press)}
    monkeypatch.setattr(Registered, "metric", lambda self, name: specs["level"])
    outcome = lab.run("lab-half", "lab-grey", more="--batch-size 2 --metric level")
    assert outcome.code == 130
    assert [(r.model.name, r.status) for r in outcome.records] == [("lab-half", "interrupted")]
    assert outcome.records[0].completeness.effective == 2


WORDS = ["run", "--suite", "photos-256", "--model", "jpeg-q10", "--limit", "2"]


def test_a_main_metric_that_fails_is_no_quiet_success(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr("layton_bench.metrics.pairs.ssim.similarity", broken)
    outcome = bench(*WORDS, "--metric", "psnr", "--metric", "ssim")
    assert outcome.code == 2
    assert "metric 'ssim' of jpeg-q10" in outcome.err
    assert "libGL.so.1" in outcome.err
    (record,) = outcome.records
    assert record.metrics["psnr"].value > 20
    assert record.metrics["ssim"].value is None
    # asked again, it is not taken for done
    assert bench(*WORDS, "--metric", "psnr", "--metric", "ssim").code == 2
    assert bench(*WORDS, "--metric", "psnr", "--overwrite", "always").code == 0


def test_a_metric_whose_weights_are_not_installed_is_a_warning(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(bench.results / "none"))
    outcome = bench(*WORDS, "--metric", "psnr", "--metric", "lpips-vgg")
    assert outcome.code == 0
    assert "layton-bench weights pull vgg16" in outcome.err
