from pathlib import Path

import pytest
from places import ROOT

from layton_bench.errors import UserError
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


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "reported.csv").write_text(HEAD + "m,s,rfid,x,A,,\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"reported\.csv, line 2: value"):
        read_reported(tmp_path)


def test_the_repositorys_own_numbers_can_be_read() -> None:
    rows = read_reported(ROOT / "results")
    assert len(rows) > 150
    llamagen = {r.metric: r.value for r in reversed(rows) if r.model == "llamagen-16"}
    assert llamagen["rfid"] == 2.19
