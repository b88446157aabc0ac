import json
import re
from pathlib import Path

import pytest
from report_site import EVIL, kept_run, pages

from layton_bench.errors import UserError
from layton_bench.report import build_report
from layton_bench.report.build import MARKER


def test_every_page_is_there_and_links_only_to_what_is(site: Path) -> None:
    found = pages(site)
    assert sorted(found) == ["gallery-1.html", "index.html", "provenance.html"]
    for name, page in found.items():
        ids = {attrs.get("id") for _, attrs in page.elements}
        for tag, attrs in page.elements:
            for key in ("href", "src"):
                address = attrs.get(key)
                if not address or address == "data:,":
                    continue
                file, _, anchor = address.partition("#")
                assert ":" not in address, (name, tag, address)
                assert not address.startswith("/")
                if file:
                    assert (site / file).is_file(), (name, address)
                if anchor:
                    target = found[file] if file else page
                    assert anchor in {a.get("id") for _, a in target.elements} | ids


def test_nothing_can_reach_the_network_or_run_inline(site: Path) -> None:
    for path in [*site.glob("*.html"), *site.glob("assets/*")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text), path
        assert "http:" not in text
    for page in pages(site).values():
        (policy,) = [m for m in page.all("meta") if m.get("http-equiv")]
        assert str(policy["content"]).startswith("default-src 'none'; ")
        assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
        assert not [a for _, attrs in page.elements for a in attrs if a == "style"]


def test_no_text_of_a_record_acts(site: Path) -> None:
    for name, page in pages(site).items():
        scripts = page.all("script")
        assert {s.get("src") for s in scripts} <= {"assets/site.js", None}
        assert [s.get("type") for s in scripts if not s.get("src")] in ([], ["application/json"])
        assert "x" not in {image.get("src") for image in page.all("img")}
        assert "<script>alert(1)" not in (site / name).read_text(encoding="utf-8")
        assert "49" not in [text.strip() for text in page.texts]
        assert EVIL in page.text or EVIL in str(page.elements), name


def test_the_tables_are_there_as_files(site: Path) -> None:
    rows = json.loads((site / "leaderboard.json").read_text(encoding="utf-8"))
    assert {row["model"] for row in rows} == {"good", "plain", "exact"}
    assert "model,options" in (site / "leaderboard.csv").read_text(encoding="utf-8")
    assert r"\toprule" in (site / "leaderboard.tex").read_text(encoding="utf-8")
    assert "| Rank |" in (site / "leaderboard.md").read_text(encoding="utf-8")


def test_the_same_results_make_the_same_site(site: Path, tmp_path: Path) -> None:
    again = build_report(site.parent / "results", tmp_path / "again").parent
    files = sorted(p.relative_to(site) for p in site.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert all((site / f).read_bytes() == (again / f).read_bytes() for f in files)


def test_a_report_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    kept_run(tmp_path / "results")
    site = tmp_path / "deep" / "site"
    build_report(tmp_path / "results", site)
    (site / "stale.html").write_text("old", encoding="utf-8")
    build_report(tmp_path / "results", site)
    assert (site / MARKER).is_file()
    assert not (site / "stale.html").exists()
    assert [p.name for p in site.parent.iterdir()] == ["site"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("dear", encoding="utf-8")
    with pytest.raises(UserError, match="it holds files that are not a report"):
        build_report(tmp_path / "results", mine)
    with pytest.raises(UserError, match="it holds files that are not a report"):
        build_report(tmp_path / "results", mine / "thesis.tex")
    assert (mine / "thesis.tex").read_text(encoding="utf-8") == "dear"


def test_the_command_says_where_the_report_is(bench) -> None:
    kept_run(bench.results)
    done = bench("report", "-o", "site", "--out", bench.results)
    assert (done.code, done.out.strip()) == (0, str(Path("site") / "index.html"))
    assert Path("site/index.html").is_file()


def test_no_runs_are_an_error(bench) -> None:
    done = bench("report", "-o", "site", "--out", bench.results)
    assert done.code == 2
    assert "it has no runs" in done.err
    assert not Path("site").exists()
