"""Several decodes of each image: the spread of the values, computed by hand."""

import numpy as np
import pytest
from lab import Lab

from layton_bench.records.results import stored_runs
from layton_bench.run.engine.decode_seeds import seed_name


def test_decode_seeds_report_the_spread(lab: Lab) -> None:
    assert lab.run("lab-noisy", more="--decode-seeds 3 --metric level").code == 0
    (stored,) = stored_runs(lab.bench.results)
    spread = stored.record.metrics["level"].decode_seeds
    assert spread is not None
    assert len(spread.values) == 3
    assert spread.values[0] == stored.record.metrics["level"].value
    assert len(set(spread.values)) == 3
    assert spread.mean == pytest.approx(np.mean(spread.values))
    assert spread.std == pytest.approx(np.std(spread.values, ddof=1))
    assert spread.image_variance is not None
    assert spread.image_variance > 0
    # a second run draws the same
    again = lab.run("lab-noisy", more="--decode-seeds 3 --metric level --overwrite always")
    assert again.records[-1].metrics["level"].decode_seeds == spread


def test_the_first_seed_has_the_metrics_own_name() -> None:
    assert [seed_name("psnr", number) for number in range(2)] == ["psnr", "psnr seed 1"]
