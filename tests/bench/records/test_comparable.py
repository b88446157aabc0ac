import pytest
from fakes import record, suite

from layton_bench.records.comparable import basis, mixed_settings, why_not_comparable
from layton_bench.records.record import RunRecord
from layton_bench.types import Failure

FAILED = (Failure(key="x", stage="read", reason="cut"),)
OTHERS = {
    "suite: tiny-16 and other": {"suite": suite(name="other")},
    "suite digest: ": {"suite": suite(rounding="truncate")},
    f"data contents: {'d' * 12} and {'e' * 12}": {"data": "e" * 64},
    "failed samples: none and x": {"completeness": {"failed": FAILED}},
    "number of samples: 10 and 9": {"completeness": {"effective": 9}},
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_data_suites_or_samples_are_not_comparable(what: str) -> None:
    first, second = record("a"), record("b", **OTHERS[what])
    assert basis(first) != basis(second)
    reason = why_not_comparable(first, second)
    assert reason is not None
    assert reason.startswith(f"they differ in {what}")


def test_model_options_and_time_do_not_matter() -> None:
    first, second = record("a"), record("b", number=2, options={"steps": 2}, dtype="bfloat16")
    assert basis(first) == basis(second)
    assert why_not_comparable(first, second) is None


def test_the_order_of_failures_does_not_matter() -> None:
    failed = (*FAILED, Failure(key="a", stage="decode", reason="NaN"))
    made = [record(completeness={"failed": order}) for order in (failed, failed[::-1])]
    assert why_not_comparable(*made) is None


def test_one_kind_of_difference_is_what_is_compared() -> None:
    for changes in ({}, {"options": {"steps": 2}}, {"dtype": "float16"}, {"seed": 1}):
        assert mixed_settings(record("a"), record("a", **changes)) is None
    two = record("a", options={"steps": 4, "scale": 2})
    assert mixed_settings(two, record("a", options={"steps": 2, "scale": 1})) is None
    assert mixed_settings(record("a"), record("b")) is None


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({"options": {"steps": 4}}, {"options": {"steps": 2}, "seed": 1},
         "steps (4 and 2) and in seed (0 and 1)"),
        ({"seed": 0}, {"seed": 1, "dtype": "float16"},
         "dtype (float32 and float16) and in seed (0 and 1)"),
        ({}, {"model": "b", "seed": 3}, "model (a and b) and in seed (0 and 3)"),
        ({"options": {"steps": 4}}, {"model": "b", "options": {"steps": 2}},
         "model (a and b) and in steps (4 and 2)"),
    ],
)  # fmt: skip
def test_several_kinds_of_difference_are_named(first, second, reason: str) -> None:
    made = [record(changes.pop("model", "a"), **changes) for changes in (dict(first), dict(second))]
    assert mixed_settings(*made) == f"they differ in {reason}"


def test_models_keep_their_own_defaults() -> None:
    def default(name: str, steps: int) -> RunRecord:
        made = record(name, options={"steps": steps})
        return made.model_copy(
            update={"model": made.model.model_copy(update={"changed_options": ()})}
        )

    assert mixed_settings(default("a", 50), default("b", 4)) is None
    assert mixed_settings(default("a", 50), record("b", options={"steps": 4})) is not None


def test_own_weights_against_the_published_ones_is_one_difference() -> None:
    own = record("a")
    own = own.model_copy(update={"model": own.model.model_copy(update={"weights": {"w": "1"}})})
    assert mixed_settings(record("a"), own) is None
    assert (
        mixed_settings(record("a", seed=1), own) == "they differ in seed (1 and 0) and in weights"
    )
