"""Metrics of networks through the whole run: registry, one pass, cache of references, record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from reference_models import bare, reference_network
from seeded_weights import seeded

from layton_bench.metrics.backbones import inception
from layton_bench.weights import WeightsEntry, WeightsFile, WeightsStore

METRICS = ("fid", "sfid", "kid", "kid-full", "is", "precision", "recall", "density", "coverage")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with an Inception of seeded weights, which the real registry would not take."""
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in bare(reference_network()).state_dict().items()}
    torch.save(seeded(shapes), tmp_path / "w.pth")
    name = "weights-inception-2015-12-05-6726825d.pth"
    file = WeightsFile(path=name, url="http://nowhere/w")
    entry = WeightsEntry(name="inception-fid", files=(file,), licence="")
    WeightsStore({"inception-fid": entry}).add("inception-fid", tmp_path / "w.pth")
    return tmp_path / "weights"


def test_the_registry_refuses_weights_that_are_not_the_published_ones(
    bench, weights: Path, tmp_path: Path
) -> None:
    refused = bench("weights", "add", "inception-fid", tmp_path / "w.pth")
    assert refused.code == 2 and "expected 6726825d0af5f729" in refused.err


def test_a_run_with_every_metric_of_inception_features(
    bench, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    run_network = inception.Inception.__call__

    def counted(self, images):
        seen.append(len(images))
        return run_network(self, images)

    monkeypatch.setattr(inception.Inception, "__call__", counted)
    chosen = [word for name in METRICS for word in ("--metric", name)]

    def run(model: str):
        outcome = bench(
            "run", "--suite", "photos-256", "--model", model, "--batch-size", "4",
            "--out", bench.results, *chosen, "--metric", "lpips-alex",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        return next(r for r in outcome.records if r.model.name == model).metrics

    same = run("identity")
    n = same["fid"].n
    assert n >= 4 and sum(seen) == 2 * n  # candidates and references, once for nine metrics
    assert same["fid"].value == pytest.approx(0, abs=1e-9)
    assert same["fid"].note == f"biased, n={n}"
    assert same["fid"].label == "rFID" and "resize:tf1" in same["fid"].signature
    assert (same["kid-full"].value is not None and same["is"].value is not None) or n < 10
    assert {same[name].value for name in ("precision", "recall")} == {1.0}
    assert same["lpips-alex"].value is None
    assert same["lpips-alex"].unavailable == (
        "weights 'alexnet' not found; run layton-bench weights pull alexnet"
    )
    seen.clear()
    blurred = run("resize-32")
    assert sum(seen) == n  # the references' features came from the cache
    assert blurred["fid"].value > 1 and np.isfinite(blurred["sfid"].value)


def test_strict_fails_before_any_work(bench, weights: Path) -> None:
    outcome = bench(
        "run", "--suite", "photos-256", "--model", "identity", "--strict", "--metric", "lpips-vgg"
    )
    assert outcome.code == 2 and "weights pull vgg16" in outcome.err and not outcome.records
