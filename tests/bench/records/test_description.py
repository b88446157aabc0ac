import pandas as pd
from fakes import record, result

from layton_bench.records.description import describe, extremes, left_out
from layton_bench.types import Failure


def test_a_whole_record_in_words() -> None:
    made = record(
        "m",
        metrics={
            "psnr": result(27.256, low=26.0, high=28.5, note="a note"),
            "fid": result(None, label="rFID", unit="", unavailable="no weights", n=0),
        },
        not_applicable=("codebook-usage",),
        bits_per_image=3584.0,
        card={"notes": "a card's note", "title": "M*"},
        options={"steps": 2},
        completeness={
            "effective": 8, "missing": 1, "upscaled": 3, "duplicates": (("a", "b"),),
            "failed": (Failure(key="x.png", stage="read", reason="truncated"),),
        },
        status="partial",
    )  # fmt: skip
    text = describe(made)
    for line in (
        "M* (steps=2) on tiny-16 v1",
        f"  run {made.run_id}, started 2025-01-01T00:00:01+00:00",
        "  partial: 8 of 10; 1 failed: 8 of 10 samples, seed 0",
        "  canonical@1, 16 px, rounding round",
        "  data tiny, content dddddddddddd",
        "  3,584 bits per image on average (448.0 bytes)",
        "  a card's note",
        "  PSNR (dB) ↑                  27.26 [26.00, 28.50]",
        "    a note",
        "    psnr|n:10|v1",
        "  rFID ↑                       n/a",
        "    unavailable: no weights",
        "  Not applicable to this model: codebook-usage",
        "The data set lacks 1 sample of the suite.",
        "3 images were smaller than the suite's size and were enlarged.",
        "Same content: a, b",
        "Failed (read): x.png: truncated",
        "Machine: a processor (cpu, float32, 1 thread)",
        f"Code: layton-bench 0.1.0, {'c' * 12}",
    ):
        assert line in text.splitlines(), line
    assert "Time: 1.0 s (load 0.1, encode 0.2, decode 0.3, metrics 0.4)" in text


def test_the_spread_over_decode_seeds_is_told() -> None:
    spread = {"values": (27.0, 27.5), "mean": 27.25, "std": 0.3536, "image_variance": 0.125}
    made = record(metrics={"psnr": result(27.0, decode_seeds=spread)})
    line = "    2 decode seeds: 27.250 ± 0.354, variance per image 0.125"
    assert line in describe(made).splitlines()


def test_a_complete_record_says_so() -> None:
    assert "  complete: 10 of 10 samples, seed 0" in describe(record()).splitlines()


def test_a_dirty_checkout_and_none_at_all_are_told() -> None:
    made = record()
    dirty = made.provenance.model_copy(update={"git_dirty": True})
    assert ", with uncommitted changes" in describe(made.model_copy(update={"provenance": dirty}))
    absent = made.provenance.model_copy(update={"git_commit": None, "git_dirty": None})
    assert "0.1.0, no checkout" in describe(made.model_copy(update={"provenance": absent}))


def test_a_long_list_of_failures_is_cut_and_counted() -> None:
    failed = tuple(Failure(key=f"k{i}", stage="read", reason="r") for i in range(1025))
    lines = list(left_out(record(completeness={"failed": failed})))
    assert lines[0] == "Failed (read): k0: r"
    assert lines[-1] == "Failed: 1,005 more. record.json lists all."
    assert len(lines) == 21


SAMPLES = pd.DataFrame(
    {
        "key": list("abcdef"),
        "psnr": [30.0, 20.0, 40.0, None, 20.0, 35.0],
        "failure": [None, None, None, "read: cut", None, None],
    }
)


def test_worst_and_best_are_those_of_the_gallery() -> None:
    chosen = extremes(record(), SAMPLES, count=2)
    assert list(zip(chosen["rank"], chosen["key"], chosen["psnr"], strict=True)) == [
        ("worst 1", "b", 20.0), ("worst 2", "e", 20.0),
        ("best 1", "c", 40.0), ("best 2", "f", 35.0),
    ]  # fmt: skip
    assert list(chosen.columns) == ["rank", "key", "psnr"]


def test_digests_are_no_part_of_the_table() -> None:
    samples = SAMPLES.assign(**{"reference digest": "ab", "candidate digest": "cd"})
    assert list(extremes(record(), samples).columns) == ["rank", "key", "psnr"]


def test_few_samples_are_listed_once_worst_first() -> None:
    chosen = extremes(record(), SAMPLES, count=4)
    assert list(chosen["key"]) == ["b", "e", "a", "f", "c"]


def test_lower_may_be_better() -> None:
    made = record(metrics={"psnr": result(direction="lower")})
    assert list(extremes(made, SAMPLES, count=1)["key"]) == ["c", "b"]


def test_without_a_per_sample_metric_there_are_none() -> None:
    assert extremes(record(metrics={"fid": result()}), SAMPLES).empty
    assert extremes(record(metrics={"psnr": result(direction="none")}), SAMPLES).empty
