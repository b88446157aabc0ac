from fakes import metric_spec, suite

from layton_bench.records.signatures import metric_label, signature


def test_a_signature_says_all_that_decides_the_value() -> None:
    psnr = metric_spec("psnr", signature={"range": "255", "mean": "image"}, version=3)
    asked = suite(reference="in1k-val", protocol="adm-center-crop@1", size_px=256)
    assert signature(psnr, asked, 50_000) == (
        "psnr|ref:in1k-val|crop:adm-center-crop@1|px:256|range:255|mean:image|n:50000|u8:round|v3"
    )


def test_fid_is_named_by_the_suites_kind() -> None:
    fid = metric_spec("fid", label="{kind}FID")
    drawing = suite(kind="generation", rounding="truncate-01")
    assert signature(fid, suite(), 5).startswith("rfid|")
    assert signature(fid, drawing, 5).startswith("gfid|")
    assert signature(fid, drawing, 5).endswith("|u8:truncate-01|v1")
    assert (metric_label(fid, "reconstruction"), metric_label(fid, "generation")) == (
        "rFID", "gFID",
    )  # fmt: skip


def test_images_at_their_own_size_have_no_px() -> None:
    assert "px:" not in signature(metric_spec(), suite(size_px=None, protocol="native@1"), 5)
