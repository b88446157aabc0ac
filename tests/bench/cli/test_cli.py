"""Exit codes, streams and messages; what a command computes is tested with its module."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from fakes import metric_spec
from lab import Bench, Lab, Site
from places import ROOT, SUPPORT

from layton_bench import cli
from layton_bench.cli import console
from layton_bench.records.record import RunRecord
from layton_bench.records.results import stored_runs
from layton_bench.registry.plugins import Plugins

LISTS = ("suites", "models", "metrics", "plugins", "datasets", "protocols", "backbones", "runs")


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "layton_bench", *words], cwd=cwd, env=environment(),
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def test_version_and_help(bench: Bench) -> None:
    assert bench("--version").out == f"layton-bench {version('layton-bench')}\n"
    outcome = bench("--help")
    assert outcome.code == 0
    for command in ("run", "score", "list", "show", "leaderboard", "doctor", "weights"):
        assert f" {command} " in outcome.out


def test_python_m_is_the_same_command(tmp_path: Path) -> None:
    done = process("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"layton-bench {version('layton-bench')}\n")


def test_a_wrong_word_is_exit_code_2(bench: Bench) -> None:
    for words in (["rum"], ["list", "models!"], ["run", "--suite"], ["run", "--limit", "x"]):
        outcome = bench(*words)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err


@pytest.mark.parametrize("what", LISTS)
def test_lists_are_json_on_stdout_alone(bench: Bench, what: str) -> None:
    outcome = bench("list", what, "--json")
    rows = json.loads(outcome.out)
    assert outcome.code == 0
    assert all(isinstance(value, str) for row in rows for value in row.values())
    shown = bench("list", what).out
    assert all(next(iter(row.values())).split(",")[0] in shown for row in rows)


def test_lists_hold_what_is_registered(bench: Bench) -> None:
    listed = {what: json.loads(bench("list", what, "--json").out) for what in LISTS}
    suites = {row["suite"]: row for row in listed["suites"]}
    assert suites["coco5k-1024"]["samples"] == "5,000"
    assert suites["photos-256"]["protocol"] == "canonical@1"
    assert {row["metric"]: row["better"] for row in listed["metrics"]}["psnr"] == "higher"
    plugins = {row["plugin"]: row for row in listed["plugins"]}
    assert plugins["builtin"] == {
        "plugin": "builtin", "distribution": "layton-bench", "version": version("layton-bench"),
        "state": "works",
    }  # fmt: skip
    assert {row["dataset"]: row["samples"] for row in listed["datasets"]}[
        "imagenet-val"
    ] == "50,000"
    assert "adm-center-crop@1" in {row["protocol"] for row in listed["protocols"]}
    assert listed["runs"] == []


def test_every_plugin_that_comes_along_works(bench: Bench) -> None:
    rows = json.loads(bench("list", "plugins", "--json").out)
    assert {row["plugin"]: row["state"] for row in rows if row["state"] != "works"} == {}


def test_an_empty_list_says_so(bench: Bench) -> None:
    assert bench("list", "runs").out.strip() == "nothing yet"


@pytest.mark.parametrize("what", ["models", "plugins", "suites", "runs"])
def test_listing_imports_no_torch(tmp_path: Path, what: str) -> None:
    code = (
        "import sys; from layton_bench.cli import invoke\n"
        f"assert invoke(['list', '{what}', '--json']) == 0\n"
        "heavy = {'torch', 'pandas', 'transformers', 'diffusers', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_broken_plugins_are_named_and_the_rest_work(bench: Bench, site: Site) -> None:
    site.plugin("a_broken_one", "import no_such_module_here")
    outcome = bench("list", "plugins", "--json")
    rows = {row["plugin"]: row["state"] for row in json.loads(outcome.out)}
    assert rows["a_broken_one"] == (
        "left out: ModuleNotFoundError: No module named 'no_such_module_here'"
    )
    assert rows["builtin"] == "works"
    text = " ".join(outcome.err.split())
    assert "plugin 'a_broken_one' of dist-a_broken_one is left out: ModuleNotFoundError" in text


CLASH = """
    from layton_bench import ModelCard, ModelSpec, hookimpl

    @hookimpl
    def layton_bench_register_models(register):
        card = ModelCard(name="same-name", kind="tokenizer", family="f", summary="s")
        register(ModelSpec(card=card, load=lambda context: None))
"""


def test_a_name_clash_names_both_owners(bench: Bench, site: Site) -> None:
    site.plugin("one", CLASH)
    site.plugin("two", CLASH)
    outcome = bench("list", "models")
    assert (outcome.code, outcome.out) == (2, "")
    assert "model 'same-name': both 'one of dist-one' and 'two of dist-two' register it" in (
        outcome.err
    )


UNKNOWN = {
    "suite": (["run", "--suite", "photo-256", "--model", "identity"], "photos-256"),
    "model": (["run", "--suite", "photos-256", "--model", "identitty"], "identity"),
    "pattern": (["run", "--suite", "photos-256", "--model", "wepb-q30"], "webp-q30"),
    "metric": (
        ["run", "--suite", "photos-256", "--model", "identity", "--metric", "pnsr"], "psnr",
    ),
    "leaderboard": (["leaderboard", "--suite", "photo-256"], "photos-256"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_name_suggests_the_nearest(bench: Bench, case: str) -> None:
    words, near = UNKNOWN[case]
    outcome = bench(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "there is none of that name" in outcome.err
    assert f"Did you mean {near}" in outcome.err
    assert list(bench.results.glob("*")) == []


def test_the_command_that_an_unknown_name_points_to_exists(bench: Bench) -> None:
    plugins = Plugins()
    for table in (
        plugins.models, plugins.metrics, plugins.datasets, plugins.suites, plugins.protocols,
        plugins.weights, plugins.backbones,
    ):  # fmt: skip
        assert bench(*table.listing.split()).code == 0, table.listing


def test_a_plugin_that_was_asked_for_must_work(bench: Bench) -> None:
    outcome = bench("--plugin", "no_such_plugin", "list", "models")
    assert (outcome.code, outcome.out) == (2, "")
    assert "plugin 'no_such_plugin': it does not work (ModuleNotFoundError" in outcome.err


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
        "--device tpu": "device 'tpu': torch knows none of that name",
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
    assert "Left out" not in outcome.out
    assert "Left out (decode): bad" in outcome.err
    assert "lab-nan on lab-64" in outcome.err
    folder = stored_runs(lab.bench.results)[0].folder
    assert f"Record, samples and images: {folder}" in outcome.err


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


def test_a_run_is_shown_in_words(lab: Lab) -> None:
    lab.run("lab-half")
    outcome = lab.bench("show", "lab-half", "--out", lab.bench.results)
    (record,) = outcome.records
    assert f"run {record.run_id}" in outcome.out
    assert record.metrics["psnr"].signature in outcome.out
    assert "worst 1" in outcome.out
    assert "Contact sheet: " in outcome.err


def test_a_leaderboard_without_runs(bench: Bench) -> None:
    assert bench("leaderboard").out == "No runs yet.\n"
    assert bench("leaderboard", "--suite", "photos-256").out == "No runs yet.\n"


def test_a_leaderboard_sorted_by_an_unknown_metric(lab: Lab) -> None:
    lab.run("lab-half")
    outcome = lab.bench("leaderboard", "--sort", "fid", "--out", lab.bench.results)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Use one of level, psnr." in outcome.err


def test_a_narrow_terminal_has_a_row_for_each_metric(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = lab.run("lab-half", "lab-gain").out
    monkeypatch.setattr(console.out, "_width", 40)
    narrow = lab.run("lab-half", "lab-gain").out
    value = f"{lab.run('lab-half').records[0].metrics['psnr'].value:.2f}"
    # every cell is there both ways, and every line fits
    assert re.search(rf"│ lab-half │ +[\d,]+ │ +{value} ", wide)
    assert re.search(rf"│ PSNR \(dB\) ↑ +│ +{value} │ +{value} │", narrow)
    assert max(map(len, narrow.splitlines())) <= 40


def test_a_run_without_its_pictures_is_shown_without_a_sheet(lab: Lab) -> None:
    (record,) = lab.run("lab-half").records
    shutil.rmtree(lab.bench.results / "lab-64" / "lab-half" / record.run_id / "images")
    shown = lab.bench("show", "lab-half", "--out", lab.bench.results)
    assert shown.code == 0
    assert "PSNR" in shown.out
    assert "Its pictures do not lie beside the record: no contact sheet." in shown.err


def test_numbers_are_shown_however_narrow_the_terminal(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = f"--set marks={'x' * 200} --limit 1"
    (record,) = lab.run("lab-slow", more=more).records
    monkeypatch.setattr(console.out, "_width", 60)
    assert f"{record.metrics['psnr'].value:.2f}" in lab.run("lab-slow", more=more).out


def test_an_unknown_run(bench: Bench) -> None:
    outcome = bench("show", "nothing")
    assert (outcome.code, outcome.out) == (2, "")
    assert "`layton-bench list runs` shows them" in outcome.err


def test_doctor_says_what_each_missing_thing_would_enable(lab: Lab) -> None:
    plugin = str(SUPPORT / "lab_plugin.py")
    outcome = lab.bench("--plugin", plugin, "doctor", "--json", "--data-root", lab.bench.data)
    found = {(row["area"], row["name"]): row for row in json.loads(outcome.out)}
    assert outcome.code == 0
    assert found["data sets", "lab"] == {
        "area": "data sets", "name": "lab", "is_found": True, "detail": "5 images",
        "enables": "suites lab-64",
    }  # fmt: skip
    coco = found["data sets", "coco-val2017"]
    assert not coco["is_found"]
    assert str(lab.bench.data / "val2017") in coco["detail"]
    assert "coco5k-1024" in coco["enables"]
    package = found["packages", "no_such_package_here"]
    assert (package["is_found"], package["detail"], package["enables"]) == (
        False, "pip install 'layton-bench[lab]'", "metric lab-packaged",
    )  # fmt: skip
    text = lab.bench("--plugin", plugin, "doctor", "--data-root", lab.bench.data).out
    assert "✗" in text
    assert "✓" in text


def test_the_schema_is_printed(bench: Bench) -> None:
    published = (ROOT / "docs" / "record.schema.json").read_text("utf-8")
    assert bench("schema").out == published


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in the middle of a run."""

    def stumble(*_: object, **__: object) -> None:
        raise AssertionError("this cannot be")

    monkeypatch.setattr("layton_bench.run.execution.fingerprint", stumble)


def test_a_fault_of_ours_is_exit_code_1_with_a_log_file(lab: Lab, fault: None) -> None:
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.out) == (1, "")
    assert "Internal error: AssertionError" in outcome.err
    assert "this cannot be" in outcome.err
    (log,) = Path.cwd().glob("layton-bench-*.log")
    assert str(log) in outcome.err
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "'lab-half'" in text
    assert "in stumble" in text


def test_where_the_log_goes_when_the_folder_is_read_only(
    lab: Lab, fault: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    write, read_only = Path.write_text, {Path.cwd()}

    def refuse(self: Path, *words, **named):
        if self.suffix == ".log" and self.parent in read_only:
            raise PermissionError(13, "Permission denied")
        return write(self, *words, **named)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert lab.run("lab-half").code == 1
    assert len(list(home.glob("layton-bench-*.log"))) == 1
    read_only.add(home)
    outcome = lab.run("lab-half")
    assert outcome.code == 1
    assert "in stumble" in outcome.err
    assert "nowhere writable" in outcome.err


def test_an_interrupt_outside_a_pass_is_exit_code_130(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("layton_bench.run.execution.fingerprint", press)
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.out, outcome.records) == (130, "", [])


def test_logging_is_set_up_once(bench: Bench) -> None:
    bench("list", "runs")
    bench("list", "runs")
    assert len(logging.getLogger("layton_bench").handlers) == 1


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


class Slow:
    """``layton-bench run`` of the slow model in a process of its own, one image a batch."""

    def __init__(self, lab: Lab, tmp_path: Path) -> None:
        self.marks = tmp_path / "marks"
        self.marks.mkdir()
        words = [*lab.words("lab-slow"), "--set", f"marks={self.marks}", "--batch-size", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "layton_bench", *words], env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for_batch(self, number: int) -> None:
        deadline = time.monotonic() + 300
        while not (self.marks / str(number)).exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def press(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


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


def test_weights_see_the_plugins_that_were_asked_for(bench: Bench, site: Site) -> None:
    file = site.module(
        "weighty",
        """
        from layton_bench import WeightsEntry, hookimpl, hub_file

        @hookimpl
        def layton_bench_register_weights(register):
            register(WeightsEntry(name="weighty-one", files=(hub_file("a/b", "c"),), licence="MIT"))
        """,
    )
    assert "weighty-one" in bench("--plugin", file, "weights", "list").out


def test_the_entry_point_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["layton-bench", "list", "nothing"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
