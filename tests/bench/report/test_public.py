from pathlib import Path

import pytest
from fakes import record, result
from report_site import KEYS, add_run

from layton_bench.leaderboard.reported import Reported
from layton_bench.report import build_report
from layton_bench.report.public import known_roots, public_copy, public_text
from layton_bench.types import Failure

ROOTS = [Path("/home/ann"), Path("/home/ann/My Data/set one"), Path("/")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read /srv/secret/x.png: cut", "cannot read …/x.png: cut"),
        ("/home/ann/My Data/set one/sub dir/x.png is cut", "…/set one/sub dir/x.png is cut"),
        ("'/home/ann/out'", "'…/ann/out'"),
        ("--out=/srv/secret/out/", "--out=…/out"),
        ("ref:/srv/secret/list.csv", "ref:…/list.csv"),
        ("file:///srv/secret/x", "…/x"),
        (r"C:\Users\ann\x.png and \\host\share\y", "…/x.png and …/y"),
        ("C:/Users/ann/x.png", "…/x.png"),
        ("/anna", "…/anna"),
    ],
)
def test_absolute_paths_are_cut_to_names(text: str, shown: str) -> None:
    public = public_text(ROOTS)
    assert public(text) == shown
    assert public(public(text)) == public(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a/b", "s3://bucket/a/b", "12 images/s", "and/or", "a/b/c.png",
        "../x/y", "./x", "~/x", "n/a", "1 / 2", "psnr|ref:photos|n:10", "3:4", "<b>x</b>", "",
    ],
)  # fmt: skip
def test_everything_else_stays(text: str) -> None:
    assert public_text(ROOTS)(text) == text


def test_a_copy_is_public_in_every_text() -> None:
    made = record(
        "m", command=("run", "--data-root", "/srv/My Data/root"), card={"notes": "/srv/a/b"},
        metrics={"psnr": result(float("inf"), note="see /srv/My Data/root/x y/z.txt")},
        completeness={"failed": (Failure(key="k", stage="read", reason="/srv/a/x.png: cut"),)},
    )  # fmt: skip
    copy = public_copy(made, public_text(known_roots(Path("results"), [made])))
    assert "/srv" not in copy.model_dump_json()
    assert copy.command == ("run", "--data-root", "…/root")
    assert copy.metrics["psnr"].note == "see …/root/x y/z.txt"
    assert copy.metrics["psnr"].value == float("inf")
    assert public_copy(copy, public_text(ROOTS)) == copy
    row = Reported(model="m", suite="s", metric="x", value=1, source="/home/ann/notes.txt")
    assert public_copy(row, public_text(ROOTS)).source == "…/ann/notes.txt"


def test_no_file_of_a_report_holds_a_path_of_the_machine(tmp_path: Path) -> None:
    secret = "/home/Ann Smith/top_secret/data"
    made = record(
        "m", command=("layton-bench", "score", f"--images={secret}/images"),
        metrics={
            "psnr": result(30.0, note=f"read\n{secret}/images/a_b.txt", signature=f"ref:{secret}")
        },
        completeness={"failed": (Failure(key="k", stage="read", reason=f"{secret}/x: cut"),)},
    )  # fmt: skip
    add_run(tmp_path / "results", made, [30.0, 31.0, 29.0], {KEYS[0]: "worst-1"})
    (tmp_path / "results" / "reported.csv").write_text(
        f"model,suite,metric,value,source,protocol,note\nm,tiny-16,x,1,{secret}/paper.pdf,,\n"
    )
    site = build_report(tmp_path / "results", tmp_path / "site").parent
    texts = {
        path.name: path.read_text("utf-8") for path in site.rglob("*.*") if path.suffix != ".png"
    }
    assert {"index.html", "provenance.html", "leaderboard.json", "leaderboard.tex"} <= set(texts)
    leaks = [name for name, text in texts.items() if "secret" in text or "Smith" in text]
    assert leaks == []
    assert str(tmp_path) not in "".join(texts.values())
