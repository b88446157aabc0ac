"""Text files of users, as different programs save them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layton_bench.errors import UserError
from layton_bench.machine import (
    decode_text,
    lines_of,
    read_csv,
    read_json,
    read_text,
    read_toml,
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_encoding_that_says_what_it_is_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file"
    path.write_bytes('name = "größer"\n'.encode(encoding))
    assert read_toml(path) == {"name": "größer"}
    path.write_bytes('{"name": "größer"}'.encode(encoding))
    assert read_json(path) == {"name": "größer"}
    path.write_bytes("name,b\ngrößer,2\n".encode(encoding))
    assert list(read_csv(path)) == [(2, {"name": "größer", "b": "2"})]


def test_latin_1_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "reported.csv"
    path.write_bytes("a\nb\ngrößer\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"line 3 is not UTF-8 text \(byte 0xf6\)") as found:
        list(read_csv(path))
    assert found.value.thing == str(path)
    with pytest.raises(UserError, match="the label: line 1 is not UTF-8"):
        decode_text(b"\xff", name="the label")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = ", "Invalid value"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a = " + "9" * 5000, "Exceeds the limit"),
    ],
)
def test_bad_toml(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as found:
        read_toml(path, name="suite file x", remedy="Fix it.")
    assert (found.value.thing, found.value.remedy) == ("suite file x", "Fix it.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[" * 200_000, "nested too deeply"),
        ("9" * 5000, "Exceeds the limit"),
        ("", "Expecting value"),
    ],
)
def test_bad_json(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"not valid JSON: .*{reason}"):
        read_json(path)


def test_rows_of_csv_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('a,b\r\n1,"two\nlines"\r\n3\r\n')
    assert list(read_csv(path)) == [
        (3, {"a": "1", "b": "two\nlines"}),
        (4, {"a": "3", "b": ""}),
    ]


@pytest.mark.parametrize(
    ("row", "reason"), [("1,2,3", "more cells than the header"), ("x" * 200_000, "field larger")]
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, reason: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"a,b\n1,2\n{row}\n")
    with pytest.raises(UserError, match=f"line 3: .*{reason}"):
        list(read_csv(path))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\r\nc\rd", ["a", "b", "c", "d"]),
        ("a\u2028b\x85c\x0cd\x1ce\n", ["a\u2028b\x85c\x0cd\x1ce"]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("", []),
    ],
)
def test_lines_end_where_an_editor_ends_them(text: str, lines: list[str]) -> None:
    assert lines_of(text) == lines


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        read_text(tmp_path / "none.toml")
    with pytest.raises(UserError, match="it is a folder"):
        read_text(tmp_path)
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UserError, match="it is not a regular file"):
        read_toml(tmp_path / "pipe.toml")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="it is not a regular file"):
        read_json(tmp_path / "zero.json")
