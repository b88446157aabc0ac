import json
import re
from pathlib import Path

from fakes import record, result
from PIL import Image
from report_site import EVIL, KEYS, Page, add_run, kept_run, pages

from layton_bench.records.folder import IMAGES
from layton_bench.report import build_report


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


def test_pictures_that_are_gone_are_told_of(tmp_path: Path) -> None:
    folder = kept_run(tmp_path / "results")
    (folder / IMAGES / "worst-1-candidate.png").unlink()
    (folder / IMAGES / "worst-2-candidate.png").write_bytes(b"no image")
    site = build_report(tmp_path / "results", tmp_path / "site").parent
    page = Page(site / "gallery-1.html")
    assert "plain: 2 of 2 pictures" in page.text
    assert "The results folder has no pictures of these runs." in page.text
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
    from layton_bench.records.folder import _digest

    raw = json.loads(text)
    raw["digest"] = _digest(raw)
    path.write_text(json.dumps(raw), encoding="utf-8")


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
