"""What tests read from the runs of the lab, and values computed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from lab import Lab, picture

from layton_bench.datasets.protocols import canonical
from layton_bench.images import to_signed, to_uint8
from layton_bench.records import RunRecord, read_samples
from layton_bench.records.results import stored_runs

if TYPE_CHECKING:
    import pandas as pd


def table(lab: Lab, index: int = -1) -> pd.DataFrame:
    stored = stored_runs(lab.bench.results)[index]
    return read_samples(stored.folder, stored.record).set_index("key")


def comparable(record: RunRecord) -> dict[str, object]:
    """What two runs of the same inputs must agree in."""
    left_out = {"run_id", "started", "timing", "command", "samples_digest", "digest"}
    held = record.model_dump(exclude=left_out)
    # somebody may commit to the checkout between two runs
    held["provenance"] = {k: v for k, v in held["provenance"].items() if "git" not in k}
    return held


def psnr_by_hand(number: int) -> float:
    reference = canonical(picture(number, (96, 80)), 64)
    images = to_signed(torch.from_numpy(reference.copy()).permute(2, 0, 1)[None]) * 0.5
    candidate = to_uint8(images, "round")[0].permute(1, 2, 0).numpy()
    error = ((reference.astype(float) - candidate.astype(float)) ** 2).mean()
    return float(10 * np.log10(255**2 / error))
