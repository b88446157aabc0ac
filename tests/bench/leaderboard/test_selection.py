import pytest
from board_cases import one, rated
from fakes import record

from layton_bench.errors import UnknownNameError, UserError
from layton_bench.leaderboard.selection import Selection, select


def test_a_selection_narrows_models_columns_and_rates() -> None:
    made = [
        rated("webp@1B", 8.0, 20.0, 0.3, 1), rated("webp-q1", 80.0, 21.0, 0.2, 2),
        rated("jpeg-q1", None, 22.0, 0.1, 3),
    ]  # fmt: skip

    def names(**asked) -> list[str]:
        return [r.model.name for r in select(made, Selection(**asked))]

    assert names() == ["webp@1B", "webp-q1", "jpeg-q1"]
    assert names(models=("webp*",)) == ["webp@1B", "webp-q1"]
    assert names(models=("jpeg-q1", "*@*")) == ["webp@1B", "jpeg-q1"]
    assert names(max_bits=8) == ["webp@1B"]
    chosen = select(made, Selection(metrics=("lpips", "psnr")))
    assert [c.name for c in one(chosen).columns] == ["lpips", "psnr"]
    assert [r.model.name for r in one(chosen).records] == ["jpeg-q1", "webp-q1", "webp@1B"]
    assert [c.name for c in one(select(made, Selection(metrics=("lpips",)))).columns] == ["lpips"]


def test_only_complete_runs_may_be_asked_for() -> None:
    made = [record("a"), record("b", status="partial", completeness={"effective": 4})]
    assert [r.model.name for r in select(made, Selection(only_complete=True))] == ["a"]


def test_a_selection_of_what_is_not_there_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match=r"measured model 'fakes'.*Did you mean fake"):
        select([record()], Selection(models=("fakes",)))
    with pytest.raises(UserError, match=r"metric 'lpips': no run has it\. Use one of psnr"):
        select([record()], Selection(metrics=("lpips",)))
