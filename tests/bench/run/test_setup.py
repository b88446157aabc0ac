"""Metrics and models that cannot be set up."""

import dataclasses

import pytest
from lab import Lab


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("lab-broken", "it failed on the batch from '000' (ArithmeticError: no area)"),
        ("lab-packaged", "package 'no_such_package_here' is not installed"),
    ],
)
def test_strict_wants_every_metric(lab: Lab, metric: str, reason: str) -> None:
    outcome = lab.run("lab-half", more=f"--strict --metric {metric}")
    assert (outcome.code, outcome.records) == (2, [])
    assert reason in outcome.err


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("lab-unloadable", "it failed to load (ImportError: no such kernel)"),
        ("lab-no-decoder", "what it loads is no tokenizer: a method is missing"),
        ("lab-at-32", "the model was made for 32 px, not for 64 px"),
        ("lab-draws", "the suite needs a tokenizer, the model is a generator"),
        ("lab-weighty", "there is none of that name"),
    ],
)
def test_a_model_that_cannot_run_says_why(lab: Lab, model: str, reason: str) -> None:
    outcome = lab.run(model)
    assert (outcome.code, outcome.records) == (2, [])
    assert reason in outcome.err


def test_the_adapter_is_recorded(lab: Lab) -> None:
    (record,) = lab.run("lab-at-32@32").records
    assert record.model.name == "lab-at-32@32"
    assert "behind a resize adapter: runs at 32 px" in record.model.card.notes


def test_a_loaders_own_advice_is_passed_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from layton_bench.errors import UserError
    from layton_bench.registry import plugins as plugin_manager

    def advise(context: object) -> None:
        raise UserError("the kernel", "it needs a GPU", "Use another machine.")

    real = plugin_manager.Plugins.model
    monkeypatch.setattr(
        plugin_manager.Plugins, "model",
        lambda self, name: dataclasses.replace(real(self, name), load=advise),
    )  # fmt: skip
    outcome = lab.run("lab-half")
    assert outcome.code == 2
    assert outcome.err.endswith("Error: the kernel: it needs a GPU.\nUse another machine.\n")


def test_one_model_that_cannot_load_does_not_keep_the_others(lab: Lab) -> None:
    outcome = lab.run("lab-half", "lab-unloadable", "lab-grey")
    assert outcome.code == 2
    assert [record.model.name for record in outcome.records] == ["lab-half", "lab-grey"]
    assert "model 'lab-unloadable': it failed to load" in outcome.err
