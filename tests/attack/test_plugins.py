"""Misbehaving plugins: each costs its own sample, metric or run, and changes no other number."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from misbehaving_plugin import DATASETS, HARMLESS, METRICS, RAISED, RETURNED
from places import SUPPORT

if TYPE_CHECKING:
    from lab import Lab, Outcome

NUM_PICTURES = 3


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Undo what a plugin did to this process."""
    states = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state())
    numpy_state, python_state = np.random.get_state(), random.getstate()
    handler = signal.getsignal(signal.SIGINT)
    yield
    torch.set_default_dtype(states[0])
    torch.set_grad_enabled(states[1])
    torch.set_rng_state(states[2])
    np.random.set_state(numpy_state)
    random.setstate(python_state)
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def attacked(lab: Lab) -> Lab:
    """Three pictures, and the one that models go wrong on."""
    for path in sorted(lab.pictures.iterdir())[NUM_PICTURES:]:
        path.unlink()
    lab.add_bad()
    return lab


def run(lab: Lab, model: str, *more: str, suite: str = "lab-64") -> Outcome:
    words = lab.words(model)
    words[words.index("lab-64")] = suite
    plugin = str(SUPPORT / "misbehaving_plugin.py")
    return lab.bench("--plugin", plugin, *words, "--num-workers", "0", *more)


def values(outcome: Outcome) -> dict[str, float | None]:
    (record,) = outcome.records
    return {name: metric.value for name, metric in record.metrics.items()}


def shown_safely(outcome: Outcome) -> None:
    text = outcome.out + outcome.err
    assert "Traceback" not in text
    assert "Internal error" not in text
    assert "\x1b" not in outcome.out
    assert len(text) < 20_000
    assert list(Path.cwd().glob("*.log")) == []


@pytest.mark.parametrize("kind", [*RAISED, *RETURNED])
def test_a_model_costs_its_own_sample(attacked: Lab, kind: str) -> None:
    outcome = run(attacked, f"bad-{kind}", "--batch-size", "4")
    shown_safely(outcome)
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    (failure,) = record.completeness.failed
    assert (failure.key, failure.stage) == ("bad", "decode")
    assert 0 < len(failure.reason) < 2500
    assert failure.reason.isprintable()
    (attacked.pictures / "bad.png").unlink()
    control = attacked.run("lab-half", more="--num-workers 0 --out control")
    assert control.code == 0
    # the other samples' values are those of a model that does not misbehave
    kept = {k: v for k, v in values(outcome).items() if k != "codebook-usage"}
    assert kept == {k: v for k, v in control_values(attacked).items() if k != "codebook-usage"}


def control_values(lab: Lab) -> dict[str, float | None]:
    from layton_bench.records import stored_runs

    (stored,) = stored_runs(Path("control"))
    return {name: metric.value for name, metric in stored.record.metrics.items()}


@pytest.mark.filterwarnings("ignore:deprecated")
@pytest.mark.parametrize("kind", [*HARMLESS, "overwrites"])
def test_what_a_model_does_beside_its_work_changes_nothing(attacked: Lab, kind: str) -> None:
    outcome = run(attacked, f"bad-{kind}", "--json")
    shown_safely(outcome)
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert record.completeness.failed == ()
    attacked.run("lab-half", more="--num-workers 0 --out control")
    assert values(outcome) == control_values(attacked)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_costs_itself(attacked: Lab, name: str) -> None:
    outcome = run(attacked, "lab-half", "--metric", "psnr", "--metric", f"bad-{name}")
    shown_safely(outcome)
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert record.completeness.failed == ()
    attacked.run("lab-half", more="--num-workers 0 --metric psnr --out control")
    assert values(outcome)["psnr"] == control_values(attacked)["psnr"]
    found = record.metrics.get(f"bad-{name}")
    if "per-sample" not in name and name not in ("compute-number", "compute-infinite"):
        assert found is None or found.value is None
    for words in (["leaderboard"], ["leaderboard", "--format", "json"], ["show", "lab-half"]):
        shown = attacked.bench(*words, "--out", attacked.bench.results)
        assert shown.code == 0, shown.err


@pytest.mark.parametrize("kind", DATASETS)
def test_a_data_set_is_named(attacked: Lab, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACKED_DATA", kind)
    outcome = run(attacked, "lab-half", suite="sick-64")
    shown_safely(outcome)
    if kind == "items-generator":
        assert outcome.code in (0, 2), outcome.err
        return
    assert outcome.code == 2, outcome.err
    assert outcome.records == []
    assert "sick" in outcome.err or "sample" in outcome.err
