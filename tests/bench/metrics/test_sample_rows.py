"""Numbers by sample: what may come in, samples that fail alone, and state."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from layton_bench.errors import ModelOutputError, UserError
from layton_bench.metrics.sample_rows import SampleRows
from layton_bench.types import Codes, Prompt, ScoredBatch


def batch(*keys: str) -> ScoredBatch:
    """Pictures whose level is the number in their key, or 0."""
    levels = [int(key[1:] or 0) for key in keys]
    images = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    return ScoredBatch(keys=keys, candidates=images)


def levels(given: ScoredBatch) -> list[float]:
    return given.candidates[:, 0, 0, 0].tolist()


def failing(*bad: str, error: Exception | None = None):
    """Scores that cannot be had of batches with one of these samples."""

    def score(given: ScoredBatch) -> list[float]:
        if set(bad) & set(given.keys):
            raise error or ZeroDivisionError("no area")
        return levels(given)

    return score


def rows(score, *batches: ScoredBatch, columns=("v",)) -> SampleRows:
    made = SampleRows("m", columns)
    for given in batches:
        made.update(given, score)
    return made


def test_a_sample_that_fails_costs_no_other(caplog) -> None:
    made = rows(failing("c3", "e5"), batch("a1", "b2", "c3", "d4"), batch("e5", "f6"))
    assert dict(made.by_key("v")) == {"a1": 1, "b2": 2, "d4": 4, "f6": 6}
    assert set(made.failures.reasons) == {"c3", "e5"}
    assert len(made) == 6
    assert made.note() == "2 of 6 samples failed, 'c3': ZeroDivisionError: no area"
    assert len(caplog.messages) == 2


def test_memory_that_ran_out_for_one_costs_no_other() -> None:
    first = MemoryError("243 MB")
    made = rows(failing("a1", error=first), batch("a1"), batch("b2", "c3"))
    assert made.keys() == ["b2", "c3"]
    # the largest come first, two to a batch: they are not taken for a fault of the metric
    made = rows(failing("a1", "b2", error=first), batch("a1", "b2"), batch("c3"))
    assert made.keys() == ["c3"]


def test_what_fails_for_every_sample_is_a_fault_of_the_metric() -> None:
    always = failing("a1", "b2", "c3")
    with pytest.raises(ZeroDivisionError):
        rows(always, batch("a1", "b2", "c3"))
    singles = [batch(f"a{i}") for i in range(5)]
    with pytest.raises(ZeroDivisionError):
        rows(failing(*(f"a{i}" for i in range(5))), *singles)


def test_where_all_failed_there_is_no_value_but_an_error() -> None:
    made = rows(failing("a1"), batch("a1"))
    with pytest.raises(ModelOutputError, match="1 of 1 samples failed, 'a1'"):
        made.note()


def test_what_the_user_can_fix_is_raised_at_once() -> None:
    error = UserError("sample 'b2'", "it is not of this suite", "Run another.")
    with pytest.raises(UserError, match="not of this suite"):
        rows(failing("b2", error=error), batch("a1", "b2"))


def test_a_sample_that_succeeds_later_has_not_failed() -> None:
    made = rows(failing("a1"), batch("a1", "b2"))
    made.update(batch("a1"), levels)
    assert made.keys() == ["a1", "b2"] and made.note() == ""


def test_state_and_merging_keep_values_and_failures() -> None:
    whole = rows(failing("c3"), batch("d4", "c3", "a1", "b2"))
    parts = SampleRows("m", ["v"])
    for given in (batch("d4", "c3"), batch("a1", "b2")):
        restored = SampleRows("m", ["v"])
        restored.load_state(rows(failing("c3"), given).state())
        parts.merge(restored)
    assert parts.note() == whole.note()
    state, wanted = parts.state(), whole.state()
    assert state.keys() == wanted.keys()
    assert all(np.array_equal(state[name], wanted[name]) for name in wanted)
    assert all(array.dtype != object for array in state.values())


@pytest.mark.parametrize(
    "found",
    [
        [1.0, 2.0], np.array([1, 2]), torch.tensor([1.0, 2.0]), [torch.tensor(1.0), 2],
        (True, 2), np.array([[1.0], [2.0]]), np.float16([1, 2]),
    ],
)  # fmt: skip
def test_numbers_of_any_library(found) -> None:
    assert list(rows(lambda _: found, batch("a1", "b2")).column("v")) == [1, 2]


class Rude:
    """As a plugin may return it: even its name for messages fails."""

    def __str__(self) -> str:
        raise RuntimeError("no name")

    __repr__ = __str__


@pytest.mark.parametrize(
    "found",
    [
        None, 1.0, "12", ["1", "2"], [1.0], [1.0, 2.0, 3.0], [1.0, None], [1.0, 1j], Rude(),
        [Rude(), Rude()], [[1.0, 2.0], [3.0, 4.0]], {"a1": 1.0, "b2": 2.0},
        [Fraction(1), Fraction(2)], torch.zeros(2, 3, 4),
    ],
    ids=lambda found: type(found).__name__,
)  # fmt: skip
def test_anything_else_is_refused(found) -> None:
    with pytest.raises(ModelOutputError, match="returned"):
        rows(lambda _: found, batch("a1", "b2"))


def test_several_columns() -> None:
    made = rows(lambda given: [(v, -v) for v in levels(given)], batch("b2", "a1"), columns="xy")
    assert made.keys() == ["a1", "b2"]
    assert (list(made.column("x")), list(made.column("y"))) == ([1, 2], [-1, -2])


def test_a_batch_of_one_has_all_that_belongs_to_its_sample() -> None:
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    whole = ScoredBatch(
        keys=("a", "b"), candidates=images, references=images + 1,
        codes=Codes(size_px=(4, 4), payloads=(b"a", b"bc")),
        prompts=(Prompt(key="a", text="x"), Prompt(key="b", text="y")), demands=("1", "2"),
        decoded=images.float(), redecoded=(ScoredBatch(keys=("a", "b"), candidates=images + 2),),
    )  # fmt: skip
    _, single = whole.samples()
    assert (single.keys, single.prompts[0].text, single.demands) == (("b",), "y", ("2",))
    assert torch.equal(single.candidates, images[1:])
    assert torch.equal(single.paired_references(), images[1:] + 1)
    assert torch.equal(single.decoded, images[1:].float())
    assert torch.equal(single.redecoded[0].candidates, images[1:] + 2)
    assert single.codes.payloads == (b"bc",) and single.codes.bits() == (16.0,)
