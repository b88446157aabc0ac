import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes import record, result
from PIL import Image
from report_site import EVIL, KEYS, add_run, hostile_results

from layton_bench.errors import UserError
from layton_bench.records.record import IMAGES
from layton_bench.report import build_report
from layton_bench.report.build import MARKER

VOID = {"meta", "link", "img", "input", "br", "hr", "line", "path", "circle"}


class Page(HTMLParser):
    """A page's elements and texts; checks that every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open in ([], ["li"], ["html"]), self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return build_report(hostile_results(folder / "results"), folder / "site").parent


def pages(site: Path) -> dict[str, Page]:
    return {path.name: Page(path) for path in sorted(site.glob("*.html"))}


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


def test_the_table_has_values_intervals_and_what_to_sort_by(site: Path) -> None:
    page = pages(site)["index.html"]
    text = page.text
    assert "3 runs of 3 models on 1 suite in 1 table" in text
    assert "[29.00, 31.00]" in text
    orders = [cell.get("data-order") for cell in page.all("td")]
    assert {"30.0", "9.5", "inf", "3584.0"} <= set(orders)
    assert [row.get("data-first") for row in page.all("th")[:6]] == [
        "ascending", "ascending", "ascending", "ascending", "descending", "descending",
    ]  # fmt: skip
    assert "Reported elsewhere, not measured here" in text
    assert "Not drawn: exact (infinite)" in text


def test_pictures_are_named_by_contents_and_kept_once(site: Path) -> None:
    names = [path.name for path in (site / "images").iterdir()]
    assert all(re.fullmatch(r"[0-9a-f]{24}\.png", name) for name in names)
    # three references (one of them kept by two runs) and four candidates
    assert len(names) == 7
    for path in (site / "images").iterdir():
        with Image.open(path) as image:
            assert image.size == (32, 32)


def gallery_data(site: Path) -> dict:
    text = (site / "gallery-1.html").read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_gallery_shows_what_is_kept_and_says_what_is_not(site: Path) -> None:
    data = gallery_data(site)
    assert data["models"] == ["exact", EVIL, "plain"]
    samples = {sample["key"]: sample for sample in data["samples"]}
    assert {key: sorted(s["pictures"]) for key, s in samples.items()} == {
        KEYS[0]: ["2"], KEYS[1]: ["1"], KEYS[2]: ["1", "2"],
    }  # fmt: skip
    assert samples["c"]["captions"] == {
        "0": "PSNR inf dB", "1": "PSNR 29.00 dB", "2": "PSNR 9.50 dB",
    }  # fmt: skip
    page = pages(site)["gallery-1.html"]
    assert page.text.count("picture not kept") == 4
    assert "This run kept no pictures." in page.text
    # worst cases: one of the evil model, two of the plain one, each beside the two others
    assert len([u for u in page.all("ul") if u.get("class") == "strip"]) == 3


def test_provenance_says_everything_but_paths(site: Path) -> None:
    text = pages(site)["provenance.html"].text
    for known in ("c" * 40, "d" * 64, "psnr|n:10|v1", "canonical@1, rounding round", "seed 0"):
        assert known in text
    assert "…/out" in text
    assert "secret" not in text


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


def kept_run(results: Path) -> Path:
    made = record("plain", metrics={"psnr": result(9.5)})
    return add_run(results, made, [9.0, 10.0, 9.5], {"a": "worst-1", "c": "worst-2"})


def test_pictures_that_are_gone_are_told_of(tmp_path: Path) -> None:
    folder = kept_run(tmp_path / "results")
    (folder / IMAGES / "worst-1-candidate.png").unlink()
    (folder / IMAGES / "worst-2-candidate.png").write_bytes(b"no image")
    site = build_report(tmp_path / "results", tmp_path / "site").parent
    page = Page(site / "gallery-1.html")
    assert "plain: 2 of 2 pictures" in page.text
    assert "No pictures lie beside these records" in page.text
    assert "PSNR 9.00 dB" in page.text
    assert not page.all("script")[1:]


def test_a_records_file_names_reach_nothing_outside_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(secret)
    folder = kept_run(tmp_path / "results")
    inside = folder / IMAGES
    (inside / "worst-1-candidate.png").unlink()
    (inside / "worst-1-candidate.png").symlink_to(secret)
    text = (folder / "record.json").read_text(encoding="utf-8")
    saved = [json.loads(text)["images"][1]]
    assert saved[0]["candidate"] == "worst-2-candidate.png"
    changed = text.replace('"worst-2-candidate.png"', '"../../../../../secret.png"')
    _rewrite(folder / "record.json", changed)
    site = build_report(tmp_path / "results", tmp_path / "site").parent
    assert (folder / IMAGES / "../../../../../secret.png").resolve() == secret
    copied = [path.read_bytes() for path in (site / "images").iterdir()]
    assert secret.read_bytes() not in copied
    assert len(copied) == 2  # the references


def _rewrite(path: Path, text: str) -> None:
    """Write a changed record with a digest that fits, as one who means harm would."""
    from layton_bench.records.record import _digest

    raw = json.loads(text)
    raw["digest"] = _digest(raw)
    path.write_text(json.dumps(raw), encoding="utf-8")


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
    with pytest.raises(UserError, match="it holds something that is not a report"):
        build_report(tmp_path / "results", mine)
    with pytest.raises(UserError, match="it holds something that is not a report"):
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


def test_a_run_that_kept_everything_shows_its_pictures_of_the_others_worst(tmp_path: Path) -> None:
    rows = [30.0, 31.0, 29.0]
    kept = dict.fromkeys(KEYS, "") | {KEYS[0]: "worst-1"}
    metrics = {"psnr": result(30.0)}
    add_run(tmp_path / "r", record("all", number=1, metrics=metrics), rows, kept)
    few = {KEYS[2]: "worst-1"}
    add_run(tmp_path / "r", record("fewer", number=2, metrics=metrics), rows, few)
    site = build_report(tmp_path / "r", tmp_path / "site").parent
    page = Page(site / "gallery-1.html")
    data = next(t for t in page.texts if t.startswith("{"))
    samples = {s["key"]: s for s in json.loads(data)["samples"]}
    # the sample that is at nobody's end stays out; that of the other run's end is there twice
    assert set(samples) == {KEYS[0], KEYS[2]}
    assert len(samples[KEYS[2]]["pictures"]) == 2
    assert len(list((site / "images").iterdir())) == 5
