"""One model over the values of an option."""

import io

import numpy as np
import pandas as pd
import pytest
from lab import Lab
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.run.sweeps import combinations


def test_every_combination_the_last_option_fastest() -> None:
    assert combinations(["a=1,2", "b=x"]) == [("a=1", "b=x"), ("a=2", "b=x")]
    assert combinations(["a=1", "b=x,y"]) == [("a=1", "b=x"), ("a=1", "b=y")]
    for wrong in ("a", "a=", "a=1,,2"):
        with pytest.raises(UserError, match="NAME=VALUE"):
            combinations([wrong])


def test_a_sweep_has_a_record_a_row_and_a_point_for_each_value(lab: Lab) -> None:
    words = [w for w in lab.words("lab-gain") if w != "run"]
    outcome = lab.bench(*_plugin(lab), "sweep", *_rest(words), "--set", "gain=0.5,0.9,1", "--csv")
    assert outcome.code == 0
    frame = pd.read_csv(io.StringIO(outcome.out))
    assert frame["gain"].tolist() == [0.5, 0.9, 1.0]
    assert frame["psnr"].tolist()[:2] == sorted(frame["psnr"].tolist()[:2])
    assert len(outcome.records) == 3
    with Image.open(lab.bench.results / "lab-64" / "lab-gain" / "sweep.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert pixels.std() > 5


def test_a_run_that_existed_has_no_time_to_compare(lab: Lab) -> None:
    """It may come from another machine, or from a busier hour."""
    lab.run("lab-gain", more="--set gain=0.5")
    words = [w for w in lab.words("lab-gain") if w != "run"]
    outcome = lab.bench(*_plugin(lab), "sweep", *_rest(words), "--set", "gain=0.5,0.9", "--csv")
    frame = pd.read_csv(io.StringIO(outcome.out))
    assert frame["decode_seconds_per_image"].isna().tolist() == [True, False]
    assert frame["psnr"].notna().all()
    again = lab.bench(*_plugin(lab), "sweep", *_rest(words), "--set", "gain=0.5,0.9", "--csv")
    assert again.code == 0
    assert pd.read_csv(io.StringIO(again.out))["decode_seconds_per_image"].isna().all()


def _plugin(lab: Lab) -> list[str]:
    words = [str(word) for word in lab.words("lab-gain")]
    return words[: words.index("run")]


def _rest(words: list[object]) -> list[object]:
    plain = [str(w) for w in words]
    return words[plain.index("--suite") :]
