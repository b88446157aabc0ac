"""Two sets of features, and the distances of two decoders that add noise to the same features."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pandas as pd
from fakes import result

from layton_bench.metrics.base import influence_column
from layton_bench.metrics.features import FeatureChunk
from layton_bench.metrics.sets import frechet
from layton_bench.metrics.sets.feature_sets import FeatureSets
from layton_bench.metrics.sets.moments import Moments


def sets_of(first: np.ndarray, second: np.ndarray, *, is_paired: bool = True) -> FeatureSets:
    chunks = [
        FeatureChunk(keys=tuple(f"{side}{i:04}" for i in range(len(rows))),
                     rows=rows.astype(np.float32))
        for side, rows in (("", first), ("" if is_paired else "r", second))
    ]  # fmt: skip
    return FeatureSets(chunks[0], chunks[1], 0, cases.runner())


def distances(rng: np.random.Generator, noise: tuple[float, float], n: int, d: int = 6):
    """Two decoders that add noise to the same features: results and table of their FIDs."""
    references = rng.standard_normal((n, d))
    values = [
        frechet._distance(sets_of(references + s * rng.standard_normal((n, d)), references))
        for s in noise
    ]
    column = influence_column("fid")
    table = pd.DataFrame(
        {
            f"{column}_{side}": list(v.influence.values())
            for side, v in zip("ab", values, strict=True)
        }
    )
    results = [
        result(v.value, n=n, label="rFID", direction="lower", signature="fid") for v in values
    ]
    return *results, table


def distance_of_rows(first: np.ndarray, second: np.ndarray) -> float:
    return frechet.frechet_distance(Moments.of_rows(first), Moments.of_rows(second))
