"""What a record says of its run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab import Lab, Outcome, file_bytes, picture
from lab_runs import table

from layton_bench.records import DataInfo
from layton_bench.run.recording import _with_notes


def test_bits_are_those_of_the_codes(lab: Lab) -> None:
    (record,) = lab.run("lab-grey").records
    assert record.bits_per_image == 64 * 8
    assert list(table(lab)["bits"]) == [512.0] * 5
    assert record.metrics["codebook-usage"].value is not None
    assert record.not_applicable == ()


def test_a_metric_that_does_not_apply_is_named_and_not_missed(lab: Lab) -> None:
    (record,) = lab.run("lab-half").records
    assert record.not_applicable == ("codebook-usage",)
    assert "codebook-usage" not in record.metrics
    again = lab.run("lab-half")
    assert "lacks" not in again.err


def test_the_record_says_what_was_run(lab: Lab) -> None:
    outcome = lab.run("lab-gain", more="--set gain=0.25 --seed 3 --batch-size 2")
    (record,) = outcome.records
    assert record.command[:2] == ("layton-bench", "--plugin")
    assert record.command[-2:] == ("--batch-size", "2")
    assert (record.model.name, record.model.options) == ("lab-gain", {"gain": 0.25})
    assert record.model.changed_options == ("gain",)
    assert (record.seed, record.timing.batch_size) == (3, 2)
    assert record.suite.name == "lab-64"
    assert record.suite_digest == record.suite.digest()
    assert record.provenance.device == "cpu"
    times = record.timing
    parts = (
        times.load_seconds, times.encode_seconds, times.decode_seconds, times.metrics_seconds,
    )  # fmt: skip
    assert all(part > 0 for part in parts)
    assert sum(parts) <= times.total_seconds


def test_images_with_the_same_content_are_listed(lab: Lab) -> None:
    (lab.pictures / "copy.png").write_bytes((lab.pictures / "001.png").read_bytes())
    (record,) = lab.run("lab-half").records
    assert record.completeness.duplicates == (("001", "copy"),)
    shown = lab.bench("show", "lab-half", "--out", lab.bench.results).out
    assert "Same content: 001, copy" in shown


def test_images_smaller_than_the_suite_are_counted(lab: Lab) -> None:
    (lab.pictures / "small.png").write_bytes(file_bytes(picture(7, (40, 90))))
    (record,) = lab.run("lab-half").records
    assert record.completeness.upscaled == 1


def test_files_that_differ_in_their_extension_alone_are_two_samples(lab: Lab) -> None:
    (lab.pictures / "000.jpg").write_bytes(file_bytes(picture(8, (96, 80)), "JPEG"))
    (record,) = lab.run("lab-half").records
    assert record.completeness.effective == 6
    assert {"000.jpg", "000.png"} <= set(table(lab).index)


def test_what_a_data_set_says_of_itself_is_in_the_record(lab: Lab) -> None:
    (lab.pictures / "000.jpg").write_bytes(file_bytes(picture(9, (96, 80)), "JPEG"))
    outcome = lab.run("lab-half")
    (record,) = outcome.records
    assert record.data.notes == ("several files are named 000: each keeps its extension",)
    assert "several files are named 000" in outcome.err
    assert record.completeness.effective == 6


ODD = """
import os, signal
from layton_bench import MetricSpec, hookimpl
from layton_bench.metrics import PerSampleMetric
from layton_bench.types import MetricValue
from fakes import level, metric_spec

class Odd(PerSampleMetric):
    def compute(self):
        {compute}

class Wrong(PerSampleMetric):
    def per_sample(self):
        return [1.0]

@hookimpl
def layton_bench_register_metrics(register):
    for name, kind in (("odd", Odd), ("wrong", Wrong)):
        register(MetricSpec(name=name, label=name, direction="none", summary="s",
                            make=lambda context, name=name, kind=kind: kind(name, level)))
"""


def run_odd(lab: Lab, folder: Path, compute: str) -> Outcome:
    plugin = folder / "odd_metrics.py"
    plugin.write_text(ODD.format(compute=compute))
    asked = [word for name in ("psnr", "odd", "wrong", "level") for word in ("--metric", name)]
    return lab.bench("--plugin", plugin, *lab.words("lab-half"), *asked)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        ("raise SystemExit(0)", "failed: SystemExit: 0"),
        ("raise KeyboardInterrupt", "failed: KeyboardInterrupt"),
        ("return 'high'", "failed: TypeError: compute returned str, expected MetricValue"),
        ("os.chdir('/'); return MetricValue(value=None, n=0, note=None)", None),
    ],
)
def test_a_metric_that_misbehaves_at_the_end_costs_only_itself(
    lab: Lab, tmp_path: Path, compute: str, reason: str | None
) -> None:
    outcome = run_odd(lab, tmp_path, compute)
    assert outcome.code == 0
    (record,) = outcome.records
    assert record.metrics["odd"].unavailable == reason
    assert record.metrics["wrong"].unavailable == (
        "failed: TypeError: per_sample returned list, expected Mapping"
    )
    assert (record.metrics["psnr"].n, record.metrics["level"].n, record.status) == (
        5, 5, "complete",
    )  # fmt: skip
    assert Path.cwd() == tmp_path


@pytest.mark.usefixtures("site")
def test_ctrl_c_waits_for_the_metrics(lab: Lab, tmp_path: Path) -> None:
    outcome = run_odd(
        lab, tmp_path,
        "signal.raise_signal(signal.SIGINT); return MetricValue(value=1.0, n=5)",
    )  # fmt: skip
    assert "Stopping after the metrics are computed" in outcome.err
    (record,) = outcome.records
    assert (record.metrics["odd"].value, record.metrics["level"].n) == (1.0, 5)
    assert record.status == "complete"


@pytest.mark.usefixtures("site")
def test_a_second_ctrl_c_keeps_the_metrics_that_are_computed(lab: Lab, tmp_path: Path) -> None:
    outcome = run_odd(lab, tmp_path, "[signal.raise_signal(signal.SIGINT) for _ in range(2)]")
    assert outcome.code == 130
    (record,) = outcome.records
    assert record.status == "interrupted"
    assert record.metrics["psnr"].n == 5
    assert record.metrics["level"].unavailable == "interrupted by Ctrl-C"


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (lambda: ["2 prompts were cut"], ("of the data", "2 prompts were cut")),
        (lambda: ["a\x1b[31m\nb", 3], ("of the data", "a\\x1b[31m b", "3")),
        (lambda: (), ("of the data",)),
        (lambda: 1 / 0, ("of the data",)),
        (lambda: None, ("of the data",)),
    ],
)
def test_a_models_notes_on_its_results_are_recorded(
    notes: Callable[[], object], expected: tuple[str, ...]
) -> None:
    data = DataInfo(name="x", fingerprint="0", notes=("of the data",))
    model = SimpleNamespace(notes=notes)
    candidates: Any = SimpleNamespace(model=model)
    assert _with_notes(data, candidates).notes == expected


def test_models_without_notes_add_none() -> None:
    data = DataInfo(name="x", fingerprint="0", notes=("of the data",))
    for candidates in (SimpleNamespace(model=object()), SimpleNamespace()):
        anything: Any = candidates
        assert _with_notes(data, anything) is data
