from pathlib import Path

from report_site import pages


def test_provenance_says_everything_but_paths(site: Path) -> None:
    text = pages(site)["provenance.html"].text
    for known in ("c" * 40, "d" * 64, "psnr|n:10|v1", "canonical@1, rounding round", "seed 0"):
        assert known in text
    assert "…/out" in text
    assert "secret" not in text
