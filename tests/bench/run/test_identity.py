"""Equal inputs are the same run, and other inputs another."""

import pytest
from lab import Lab, file_bytes, picture


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
