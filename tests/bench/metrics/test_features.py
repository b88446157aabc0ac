"""Backbones run once a batch; features by sample."""

from __future__ import annotations

import re
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest
import torch
from feature_runs import SPECS, N, candidates, references

from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.features import FeatureChunk, FeatureRows, FeatureRunner


def test_each_backbone_runs_once_a_batch_for_all_metrics() -> None:
    corner = cases.Corner()
    context = cases.context(corner)
    shared = [spec for spec in SPECS if spec.signature.get("resize") == "tf1"]
    assert len(shared) >= 8
    metrics = [spec.make(context) for spec in shared]
    for batch in cases.batches(candidates(), references(), 16, list(range(N))):
        for metric in metrics:
            metric.update(batch)
    assert corner.images_seen == 2 * N


def test_rows_are_held_once() -> None:
    context = cases.context()
    metrics = [spec.make(context) for spec in SPECS if spec.name in ("fid", "kid", "recall")]
    for batch in cases.batches(candidates(), references(), 16, list(range(N))):
        for metric in metrics:
            metric.update(batch)
    states = [metric.state() for metric in metrics]
    assert states[0]["candidates"] is states[1]["candidates"] is states[2]["candidates"]
    with pytest.raises(ValueError, match="read-only"):
        states[0]["candidates"][0, 0] = 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_named(bad: float) -> None:
    def backbone(images: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = torch.ones(len(images), 4)
        rows[(images == images_of_2).all((1, 2, 3)), 1] = bad
        return {"pool3": rows}

    images_of_2 = candidates()[2]

    spec = BackboneSpec(
        name="inception-tf1", taps=("pool3",), weights=(), load=lambda find, device: backbone
    )
    features = FeatureRunner({"inception-tf1": spec}, Path)
    metric = SPECS[0].make(MetricContext(features=features))
    metric.update(cases.batches(candidates(), references(), 8, list(range(8)))[0])
    value = metric.compute()
    assert value.n == 7
    wanted = r"1 of 8 samples failed, '0002': backbone 'inception-tf1' returned pool3 .* for '0002'"
    assert re.search(wanted, value.note)


def test_a_sample_given_twice_counts_once() -> None:
    rows = FeatureRows()
    rows.add(FeatureChunk(keys=("b", "a"), rows=np.array([[1.0], [2.0]], np.float32)))
    rows.add(FeatureChunk(keys=("b",), rows=np.array([[3.0]], np.float32)))
    collected = rows.collect()
    assert collected.keys == ("a", "b") and collected.rows.ravel().tolist() == [2, 3]
    with pytest.raises(ValueError, match="2 keys for rows"):
        FeatureChunk(keys=("a", "b"), rows=np.zeros((3, 1), np.float32))
