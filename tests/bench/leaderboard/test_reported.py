from pathlib import Path

import pytest
from lab import Bench
from places import ROOT

from layton_bench.leaderboard.reported import (
    read_reported,
    reported_markdown,
    reported_values,
)

HEAD = "model,suite,metric,value,source,protocol,note\n"


def test_reported_rows_are_read_and_shown_apart(tmp_path: Path) -> None:
    assert read_reported(tmp_path) == []
    lines = "m,s-1,rfid,2.5,A | B <i>,,\nm,s-2,psnr,20,C,crop,note\nm,s-1,rfid,3,D,,\n"
    (tmp_path / "reported.csv").write_text(HEAD + lines, encoding="utf-8")
    rows = read_reported(tmp_path, "s-1")
    assert [row.value for row in rows] == [2.5, 3.0]
    assert reported_values(tmp_path, "s-1", "m@256") == {"rfid": 2.5}
    text = reported_markdown(rows)
    assert text.startswith("### Reported elsewhere, not measured here")
    assert "A \\| B &lt;i&gt;" in text
    assert reported_markdown([]) == ""


def put(folder: Path, data: bytes) -> None:
    (folder / "reported.csv").write_bytes(data)


GOOD = HEAD + "m,s,rfid,2.5,A. Größe,,\n"


def test_a_bad_line_is_named_and_costs_that_line_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, (GOOD + "m,s,rfid,x,A,,\nm,s,rfid,nan,A,,\nm,s,is,3,B,,\n").encode())
    assert [row.value for row in read_reported(tmp_path)] == [2.5, 3.0]
    assert ["reported.csv, line 3: value" in text for text in caplog.messages] == [True, False]
    assert "reported.csv, line 4: value" in caplog.messages[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
def test_the_encodings_of_excel_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    put(tmp_path, GOOD.encode(encoding))
    assert [(row.value, row.source) for row in read_reported(tmp_path)] == [(2.5, "A. Größe")]
    is_old = encoding in ("cp1252", "latin-1")
    assert ["is not UTF-8: read as Windows-1252" in text for text in caplog.messages] == (
        [True] if is_old else []
    )


def test_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace(".5", "?5").replace(",", ";").replace("?", ",").encode("cp1252"))
    assert [(row.value, row.source) for row in read_reported(tmp_path)] == [(2.5, "A. Größe")]


BROKEN = {
    "zeros": b"\0" * 50 + b"\n1\n",
    "a row that is too long": GOOD.encode() + b"a,b,c,1,d,e,f,too,many\n",
    "another header": b"no,header\n1,2\n",
    "half a character": b"\xff\xfe\xff",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_read_blinds_no_leaderboard(
    tmp_path: Path, bench: Bench, kind: str
) -> None:
    put(tmp_path, BROKEN[kind])
    done = bench("leaderboard", "--out", tmp_path)
    assert (done.code, "reported.csv" in done.err) == (0, True)


def test_the_repositorys_own_numbers_can_be_read() -> None:
    rows = read_reported(ROOT / "results")
    assert len(rows) > 150
    llamagen = {r.metric: r.value for r in reversed(rows) if r.model == "llamagen-16"}
    assert llamagen["rfid"] == 2.19
