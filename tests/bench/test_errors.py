import os
import signal
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from layton_bench import errors
from layton_bench.errors import (
    CtrlC,
    LaytonBenchError,
    ModelOutputError,
    NameClashError,
    PluginError,
    UnknownNameError,
    UserError,
    as_user_error,
    file_error,
    guarded,
    guarded_for_user,
    pydantic_problem,
    reason_of,
    shown,
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


class _Exit(BaseException):
    pass


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (ValueError("no"), "ValueError: no"),
        (SystemExit(0), "SystemExit: 0"),
        (_Exit(), "_Exit"),
        (StopIteration(), "StopIteration"),
        (GeneratorExit(), "GeneratorExit"),
        (_Unspeakable(), "_Unspeakable: its message cannot be shown"),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left"),
    ],
)
def test_whatever_a_plugin_raises_becomes_a_plugin_error(
    raised: BaseException, reason: str
) -> None:
    with pytest.raises(PluginError) as found, guarded():
        raise raised
    assert str(found.value) == reason == reason_of(found.value)
    assert found.value.cause is raised


@pytest.mark.parametrize("raised", [UserError("a", "b", "c"), ModelOutputError("d"), CtrlC()])
def test_our_own_errors_and_ctrl_c_pass_a_guard(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as found, guarded():
        raise raised
    assert found.value is raised


def test_a_keyboard_interrupt_is_ctrl_c_under_pythons_handler_alone() -> None:
    with pytest.raises(KeyboardInterrupt), guarded():
        raise KeyboardInterrupt

    def ours(signum: int, frame: object) -> None:
        raise CtrlC

    before = signal.signal(signal.SIGINT, ours)
    try:
        with pytest.raises(PluginError, match="KeyboardInterrupt"), guarded():
            raise KeyboardInterrupt
        with pytest.raises(CtrlC), guarded():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_guard_restores_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    with guarded():
        os.chdir("below")
    assert Path.cwd() == tmp_path
    with pytest.raises(PluginError), guarded():
        os.chdir("below")
        raise ValueError
    assert Path.cwd() == tmp_path


def test_a_guard_works_in_a_deleted_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(PluginError, match="ValueError: x"), guarded():
        raise ValueError("x")


def test_a_plugin_that_work_depends_on_is_named_to_the_user() -> None:
    cause = SystemExit(3)
    with pytest.raises(UserError) as found, guarded_for_user("model 'm'", "it failed", "Ask."):
        raise cause
    assert str(found.value) == "model 'm': it failed (SystemExit: 3). Ask."
    assert found.value.__cause__ is cause


def test_a_text_of_50_mb_is_cut() -> None:
    line = reason_of(ValueError("x" * 50_000_000))
    assert line.startswith("ValueError: xxx") and line.endswith("… (50,000,000 characters)")
    assert len(line) < 1100


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\n\tlines  here", "two lines here"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("over\u202ewritten", "over\\u202ewritten"),
        ("name\udcff.png", "name\\udcff.png"),
        ("日本 Ä 🙂", "日本 Ä 🙂"),
        ("", ""),
    ],
)
def test_texts_of_others_are_one_printable_line(text: str, line: str) -> None:
    assert shown(text) == line


class _Row(BaseModel):
    a: int
    b: list[int] = []


def _problem(content: object) -> str:
    with pytest.raises(ValidationError) as found:
        if isinstance(content, str):
            _Row.model_validate_json(content)
        else:
            _Row.model_validate(content)
    return pydantic_problem(found.value)


def test_pydantics_problems_name_each_field() -> None:
    assert _problem({}) == "a: Field required"
    assert _problem({"a": 1, "b": [0, "x"]}) == (
        "b.1: Input should be a valid integer, unable to parse string as an integer"
    )
    assert _problem({"b": 3}).count(";") == 1
    many = _problem({"a": 1, "b": ["x"] * 9})
    assert many.startswith("b.0: ") and many.endswith("; and 4 more")
    assert _problem("{") == "Invalid JSON: EOF while parsing an object at column 1"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: there is no such file. Check"),
        (PermissionError(13, "Permission denied", "a"), "a: Permission denied. Check its perm"),
        (OSError(28, "No space left on device", "a"), "a: No space left on device. Free some"),
        (OSError(18, "Cross-device link", "a", None, "b"), "a → b: Cross-device link. Check the"),
        (OSError("odd"), "a file: odd. Check the path"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "a text: not UTF-8 ('utf-8' codec"),
        (UnicodeEncodeError("ascii", "ä", 0, 1, "bad"), "a text: not UTF-8 ('ascii' codec"),
    ],
)
def test_errors_of_files_name_the_file_and_the_remedy(
    error: OSError | UnicodeError, message: str
) -> None:
    assert str(file_error(error)).startswith(message)
    assert file_error(error, "record x").thing == "record x"
