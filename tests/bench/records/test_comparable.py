import pytest
from fakes import record, suite

from layton_bench.records.comparable import basis, why_not_comparable
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
