"""A metric behind a guard: whatever it returns, the harness gets what the contract says."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from fakes import level

from layton_bench.errors import PluginError
from layton_bench.metrics import CheckedMetric, PerSampleMetric
from layton_bench.types import MetricValue, ScoredBatch


class Odd(PerSampleMetric):
    """Returns what the test gives it."""

    def __init__(self, **answers: Any) -> None:
        super().__init__("odd", level)
        self.answers = answers

    def __getattribute__(self, name: str) -> Any:
        answers = object.__getattribute__(self, "__dict__").get("answers", {})
        if name in answers:
            return lambda *_: answers[name]
        return object.__getattribute__(self, name)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Any:
    class Raises(PerSampleMetric):
        def compute(self) -> MetricValue:
            raise error

    return CheckedMetric(Raises("odd", level))


WRONG = {
    "no value": ("compute", None, "TypeError: compute returned NoneType, expected MetricValue"),
    "a float": ("compute", 3.5, "compute returned float"),
    "text as value": ("compute", MetricValue(value="high", n=1), "value is str"),
    "truth as value": ("compute", MetricValue(value=True, n=1), "value is bool"),
    "text as bound": ("compute", MetricValue(value=1.0, low="x", n=1), "low is str"),
    "odd influence": (
        "compute", MetricValue(value=1.0, n=1, influence={"a": "x"}), "'influence' of sample 'a'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_compute_returns_is_checked(case: str) -> None:
    name, answer, reason = WRONG[case]
    with pytest.raises(PluginError) as caught:
        getattr(CheckedMetric(Odd(**{name: answer})), name)()
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([1.0], "per_sample returned list, expected Mapping"),
        ({"odd": [1.0]}, "per_sample returned list, expected Mapping"),
        ({"odd": {"a": "high"}}, "'odd' of sample 'a' is str, expected a number"),
    ],
)
def test_columns_are_checked(answer: Any, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        CheckedMetric(Odd(per_sample=answer)).columns()


def test_a_missing_value_of_a_sample_is_not_a_number() -> None:
    (column,) = CheckedMetric(Odd(per_sample={"odd": {"a": None, "b": np.float32(0.5)}})).columns(
    ).values()  # fmt: skip
    assert math.isnan(column["a"])
    assert column["b"] == 0.5
    assert type(column["b"]) is float


def test_a_value_that_is_not_a_number_is_none() -> None:
    found = CheckedMetric(Odd(compute=MetricValue(value=math.nan, low=0.0, n=3))).compute()
    assert (found.value, found.low, found.n) == (None, None, 3)
    assert found.note == "the metric returned NaN"


def test_numpys_numbers_are_numbers() -> None:
    given = MetricValue(value=np.float64(2.0), low=np.float32(1.0), high=math.inf, n=np.int64(3))
    found = CheckedMetric(Odd(compute=given)).compute()
    assert (found.value, found.low, found.high, found.n) == (2.0, 1.0, math.inf, 3)
    assert {type(v) for v in (found.value, found.low, found.n)} == {float, int}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(0), "SystemExit: 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("odd"), "GeneratorExit: odd"),
        (Unspeakable(), "Unspeakable: its message cannot be shown"),
    ],
)
def test_no_exception_of_a_metric_ends_the_program(
    error: BaseException, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in a run, where our own handler tells a true Ctrl-C
    monkeypatch.setattr("signal.getsignal", lambda _: lambda *_: None)
    with pytest.raises(PluginError) as caught:
        raising(error).compute()
    assert str(caught.value) == reason


def test_objects_are_no_state() -> None:
    with pytest.raises(PluginError, match="state 'x' is an array of object"):
        CheckedMetric(Odd(state={"x": np.array([{}])})).state()


def test_a_sound_metric_passes_through() -> None:
    batch = ScoredBatch(keys=("a",), candidates=torch.full((1, 3, 4, 4), 7, dtype=torch.uint8))
    first, second = CheckedMetric(PerSampleMetric("m", level)), CheckedMetric(
        PerSampleMetric("m", level)
    )  # fmt: skip
    first.update(batch)
    second.load_state(first.state())
    first.merge(second)
    assert first.columns() == second.columns() == {"m": {"a": 7.0}}
    assert first.compute() == second.compute()
    assert first.per_sample_texts() == {}


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"low": math.nan, "high": 2.0}, "its interval does not contain the value"),
        ({"low": 1.5, "high": 2.0}, "its interval does not contain the value"),
        ({"std": math.inf}, "its spread is not finite"),
        ({"influence": {"a": math.nan}}, "its influences are not finite"),
    ],
)
def test_what_does_not_fit_the_value_is_left_out_and_said(fields: Any, note: str) -> None:
    given = MetricValue(value=1.0, n=1, note="biased", **fields)
    expected = MetricValue(value=1.0, n=1, note=f"biased; {note}")
    assert CheckedMetric(Odd(compute=given)).compute() == expected


@pytest.mark.parametrize(
    "given",
    [
        MetricValue(value=math.inf, low=math.inf, high=math.inf, n=2),
        MetricValue(value=0.0, low=1e-17, high=0.1, n=2),
    ],
)
def test_infinite_values_and_rounded_ends_are_kept(given: MetricValue) -> None:
    assert CheckedMetric(Odd(compute=given)).compute() == given


@pytest.mark.parametrize("n", [None, -1, 1.5, math.nan, math.inf, "3"])
def test_n_is_a_number_of_samples(n: Any) -> None:
    with pytest.raises(PluginError):
        CheckedMetric(Odd(compute=MetricValue(value=1.0, n=n))).compute()


@pytest.mark.parametrize("made", [None, 3, Unspeakable(), lambda: None])
def test_something_else_than_a_metric_is_refused(made: Any) -> None:
    with pytest.raises(TypeError, match="is no metric: no update, merge, compute"):
        CheckedMetric(made)


def test_samples_that_failed_are_passed_on() -> None:
    def score(batch: ScoredBatch) -> list[float]:
        if "a" in batch.keys:
            raise ZeroDivisionError("no area")
        return [1.0] * len(batch)

    metric = CheckedMetric(PerSampleMetric("m", score))
    metric.update(ScoredBatch(keys=("a", "b"), candidates=torch.zeros(2, 3, 4, 4)))
    assert metric.failures == {"a": "ZeroDivisionError: no area"}
    assert metric.columns() == {"m": {"b": 1.0}}


def test_a_metric_without_state_says_that_it_cannot_be_resumed() -> None:
    class Forgetful:
        def _nothing(self, *_: Any) -> None: ...

        update = merge = compute = per_sample = _nothing

    metric = CheckedMetric(Forgetful())  # type: ignore[arg-type]
    assert not metric.is_resumable
    assert CheckedMetric(PerSampleMetric("m", level)).is_resumable
    with pytest.raises(PluginError, match="Forgetful has no state and load_state"):
        metric.state()
