"""Equal inputs are the same run, and other inputs another."""

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from lab import Bench, Lab, file_bytes, picture
from lab_runs import psnr_by_hand, table
from PIL import Image

from layton_bench.records import CANDIDATE_DIGEST, REFERENCE_DIGEST, RunRecord, read_samples
from layton_bench.records.results import stored_runs


def test_another_seed_is_another_run(lab: Lab) -> None:
    lab.run("lab-noisy")
    outcome = lab.run("lab-noisy", more="--seed 1")
    first, second = outcome.records
    assert first.run_key != second.run_key
    assert first.metrics["psnr"].value != second.metrics["psnr"].value


@pytest.mark.parametrize(
    "more", ["--seed 2", "--dtype bfloat16", "--limit 4", "--set gain=0.75"], ids=str.split
)
def test_whatever_decides_the_values_is_another_run(lab: Lab, more: str) -> None:
    lab.run("lab-gain")
    assert len(lab.run("lab-gain", more=more).records) == 2


def test_other_data_is_another_run(lab: Lab) -> None:
    lab.run("lab-half")
    (lab.pictures / "002.png").write_bytes(file_bytes(picture(99, (96, 80))))
    first, second = lab.run("lab-half").records
    assert first.data.fingerprint != second.data.fingerprint


def test_a_data_set_whose_keys_repeat_is_refused(lab: Lab, monkeypatch) -> None:
    from layton_bench.datasets.layouts.folder import FileDataset

    items = FileDataset.items
    monkeypatch.setattr(FileDataset, "items", lambda self: items(self)[:1] * 2)
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert "more than one sample has the key '000'" in outcome.err


def test_no_images_at_all(lab: Lab) -> None:
    for path in lab.pictures.iterdir():
        path.unlink()
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert f"{lab.pictures}: there is no image below it" in outcome.err


def test_pictures_that_exchange_their_names_are_another_run(bench: Bench, tmp_path: Path) -> None:
    """The contents are the same; which picture belongs to which reference is not."""
    for number in range(2):
        for folder, shift in (("originals", 0), ("restored", 3)):
            (tmp_path / folder).mkdir(exist_ok=True)
            image = darker(picture(number, (64, 64)), shift)
            (tmp_path / folder / f"{number}.png").write_bytes(file_bytes(image))
    words = ["score", "--reference", tmp_path / "originals", "--images", tmp_path / "restored"]
    words += ["--device", "cpu", "--metric", "psnr", "--out", bench.results]
    (right,) = bench(*words).records
    assert right.metrics["psnr"].value > 30
    first, second, spare = (tmp_path / "restored" / name for name in ("0.png", "1.png", "x"))
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    outcome = bench(*words)
    wrong = outcome.records[-1]
    assert wrong.run_key != right.run_key
    assert wrong.metrics["psnr"].value == pytest.approx(
        np.mean([psnr(picture(n, (64, 64)), darker(picture(1 - n, (64, 64)), 3)) for n in range(2)])
    )
    frame = read_samples(stored_runs(bench.results)[-1].folder, wrong).set_index("key")
    for key, path in (("0", first), ("1", second)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert frame.loc[key, CANDIDATE_DIGEST] == digest
        original = hashlib.sha256((tmp_path / "originals" / path.name).read_bytes()).hexdigest()
        assert frame.loc[key, REFERENCE_DIGEST] == original


def test_references_that_exchange_their_names_are_another_run(lab: Lab) -> None:
    (before,) = lab.run("lab-half").records
    first, second = lab.pictures / "000.png", lab.pictures / "001.png"
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    after = lab.run("lab-half").records[-1]
    assert after.data.fingerprint == before.data.fingerprint
    assert after.run_key != before.run_key
    assert table(lab).loc["000", "psnr"] == pytest.approx(psnr_by_hand(1))


def darker(image: Image.Image, levels: int) -> Image.Image:
    return image.point(lambda level: max(0, level - levels))


def psnr(a: Image.Image, b: Image.Image) -> float:
    error = (np.asarray(a).astype(float) - np.asarray(b).astype(float)) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


PLUGIN = """
from layton_bench import ModelCard, ModelSpec, hookimpl
from edited_helper import GAIN
from fakes import Scaled

class Model(Scaled):
    factor = GAIN

@hookimpl
def layton_bench_register_models(register):
    card = ModelCard(name="edited", kind="tokenizer", family="f", summary="s")
    register(ModelSpec(card=card, load=lambda context: Model()))
"""


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("edited", ["plugin", "helper"])
def test_a_plugin_that_is_edited_is_run_again(lab: Lab, tmp_path: Path, edited: str) -> None:
    files = {"plugin": tmp_path / "edited_plugin.py", "helper": tmp_path / "edited_helper.py"}
    files["plugin"].write_text(PLUGIN)
    files["helper"].write_text("GAIN = 0.5")
    words = ["--plugin", files["plugin"], *lab.words("edited"), "--metric", "psnr"]
    (before,) = fresh(lab, *words)
    assert before.metrics["psnr"].value == pytest.approx(
        np.mean([psnr_by_hand(n) for n in range(5)])
    )
    assert fresh(lab, *words) == [before], "nothing has changed"
    change = {"plugin": ("factor = GAIN", "factor = GAIN / 2"), "helper": ("0.5", "0.25")}[edited]
    files[edited].write_text(files[edited].read_text().replace(*change))
    _, after = fresh(lab, *words)
    assert after.metrics["psnr"].value < before.metrics["psnr"].value - 0.5
    assert after.inputs["code"] != before.inputs["code"]


METRIC_PLUGIN = """
from layton_bench import hookimpl
from fakes import metric_spec

@hookimpl
def layton_bench_register_metrics(register):
    register(metric_spec("edited-metric", lambda batch: [1.0] * len(batch)))
"""


@pytest.mark.usefixtures("site")
def test_a_metric_that_is_edited_is_computed_again(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "edited_plugin.py"
    file.write_text(METRIC_PLUGIN)
    words = ["--plugin", file, *lab.words("lab-half")]
    words += ["--metric", "psnr", "--metric", "edited-metric"]
    (before,) = fresh(lab, *words)
    file.write_text(METRIC_PLUGIN.replace("1.0", "2.0"))
    after = fresh(lab, *words)[-1]
    values = [record.metrics["edited-metric"].value for record in (before, after)]
    assert values == [1.0, 2.0]
    # the run is not older for those who do not ask for that metric
    file.write_text(METRIC_PLUGIN.replace("1.0", "3.0"))
    assert fresh(lab, *lab.words("lab-half"), "--metric", "psnr")[-1].run_id == after.run_id


def fresh(lab: Lab, *words: str | Path) -> list[RunRecord]:
    """The records after a command line whose plugins are imported anew."""
    for name in ("edited_plugin", "edited_helper"):
        sys.modules.pop(name, None)
    outcome = lab.bench(*words)
    assert outcome.code == 0, outcome.err
    return sorted(outcome.records, key=lambda record: record.run_id)


def test_another_version_of_a_package_is_another_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = lab.run("lab-half").records
    assert before.inputs["code"]["packages"]["numpy"] == np.__version__
    monkeypatch.setattr(
        "layton_bench.machine.provenance.version",
        lambda name: "0.0.1" if name == "numpy" else version(name),
    )
    assert lab.run("lab-half").records[-1].run_key != before.run_key
