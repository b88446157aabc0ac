import pytest

from layton_bench import errors
from layton_bench.errors import (
    LaytonBenchError,
    NameClashError,
    UnknownNameError,
    UserError,
    as_user_error,
)


def test_a_user_error_says_which_why_and_what_now() -> None:
    error = UserError("file x", "it is empty", "Fill it.")
    assert str(error) == "file x: it is empty. Fill it."
    assert (error.thing, error.reason, error.remedy) == ("file x", "it is empty", "Fill it.")


def test_the_map_at_the_top_of_the_module_is_the_tree() -> None:
    drawn = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}
    defined = {n for n, v in vars(errors).items() if isinstance(v, type) and n.endswith("Error")}
    assert drawn == defined
    assert all(issubclass(getattr(errors, name), LaytonBenchError) for name in defined)


def test_nearest_names_are_suggested_best_first() -> None:
    known = ["webp-q30", "webp@448B", "identity", "jpeg-q10"]
    error = UnknownNameError("model", "wepb-q30", known, listing="list models")
    assert error.near[0] == "webp-q30"
    assert str(error) == (
        "model 'wepb-q30': there is none of that name. "
        f"Did you mean {' or '.join(error.near)}? `layton-bench list models` lists them all."
    )


def test_case_does_not_keep_a_name_from_being_suggested() -> None:
    error = UnknownNameError("metric", "PSNR", ["psnr", "fid"], listing="list metrics")
    assert error.near == ["psnr"]


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    error = UnknownNameError("suite", "zzzzzz", ["photos-256"], listing="list suites")
    assert error.near == []
    assert error.remedy == "`layton-bench list suites` lists them all."


def test_a_clash_names_both_owners() -> None:
    error = NameClashError("model", "m", "first of one", "second of two")
    assert error.reason == "both 'first of one' and 'second of two' register it"


class _Library(ValueError):
    thing, reason, remedy = "checkpoint", "lacks a key", "Get another."


def test_a_librarys_error_becomes_the_users_to_mend() -> None:
    caught = pytest.raises(UserError, match="checkpoint: lacks a key")
    with caught as found, as_user_error(_Library):
        raise _Library("whatever")
    assert found.value.remedy == "Get another."
    assert isinstance(found.value.__cause__, _Library)


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), as_user_error(_Library):
        raise KeyError("x")
