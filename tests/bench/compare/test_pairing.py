from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import record, result, suite

from layton_bench.compare.differences import compare_metric
from layton_bench.compare.pairing import (
    UNIT,
    check_comparable,
    pair_samples,
    paired_table,
    paired_values,
)
from layton_bench.errors import NotComparableError
from layton_bench.records.folder import REFERENCE_DIGEST
from layton_bench.records.storing import store
from layton_bench.tasks.accuracy import TaskAccuracy


def tasks_table(rng: np.random.Generator, chance: float, prompts: int = 40) -> tuple:
    """Verdicts of 4 pictures a prompt, all but equal within it, in two tasks of unlike size."""
    judged = {}
    for prompt in range(prompts):
        is_good = rng.random() < chance
        for image in range(4):
            task = "rare" if prompt % 4 == 0 else "common"
            judged[f"{prompt:02d}#{image}"] = (task, bool(is_good != (rng.random() < 0.05)))
    metric = TaskAccuracy("geneval", "x", lambda batch: [], ("rare", "common"))
    keys = list(judged)
    metric.load_state({
        "keys": np.array(keys), "correct": np.array([judged[k][1] for k in keys]),
        "task": np.array([judged[k][0] for k in keys]),
        **{name: np.array([""] * len(keys)) for name in ("reason", "metadata", "details")},
    })  # fmt: skip
    return metric.compute(), metric.per_sample()["geneval"]


def paired_tasks(rng: np.random.Generator, n: int = 40):
    made = [tasks_table(rng, 0.6, n) for _ in range(2)]
    results = [result(v.value, n=v.n, signature="geneval", digits=3) for v, _ in made]
    columns = {}
    for side, (value, raw) in zip("ab", made, strict=True):
        columns[f"geneval_{side}"] = [raw[key] for key in value.influence]
        columns[f"geneval influence_{side}"] = list(value.influence.values())
    units = [key.partition("#")[0] for key in made[0][0].influence]
    return *results, pd.DataFrame(columns), units


def test_a_mean_of_tasks_is_compared_as_one_and_by_prompt() -> None:
    a, b, table, units = paired_tasks(np.random.default_rng(0))
    pairs = paired_values("geneval", a, b, table.assign(unit=units))
    assert len(pairs.first) == 40
    assert pairs.is_linear
    assert (pairs.first.mean(), pairs.second.mean()) == pytest.approx((a.value, b.value))
    # the plain means, which weigh the tasks by their pictures, are others
    assert abs(table["geneval_a"].mean() - a.value) > 0.005
    raw = table.drop(columns=[c for c in table if "influence" in c])
    with pytest.raises(NotComparableError, match="it is no mean over samples"):
        paired_values("geneval", a, b, raw)


def test_pictures_of_one_prompt_do_not_count_as_four() -> None:
    """Told apart at p ≤ 0.05 though equal: about that often by prompt, far too often by picture."""
    rng = np.random.default_rng(3)
    by_prompt = by_picture = 0
    for _ in range(150):
        a, b, table, units = paired_tasks(rng)
        for is_unit in (True, False):
            shown = table.assign(unit=units) if is_unit else table
            found = compare_metric("geneval", a, b, shown, alpha=0.05)
            by_prompt += is_unit and found.p_value <= 0.05
            by_picture += not is_unit and found.p_value <= 0.05
    assert by_prompt <= 0.1 * 150
    assert by_picture >= 0.2 * 150


def test_runs_over_other_samples_are_refused() -> None:
    with pytest.raises(NotComparableError, match="they differ in data contents"):
        check_comparable(record("a"), record("b", data="e" * 64))


def test_pictures_of_a_prompt_are_one_unit_though_its_key_has_a_hash(tmp_path: Path) -> None:
    keys = ["a#1#0", "a#1#1", "a#2#0", "a#2#1"]
    samples = pd.DataFrame({"key": keys, "psnr": [1.0, 2.0, 3.0, 4.0]})
    made = record(suite=suite(kind="generation", images_per_prompt=2))
    run = store(tmp_path, made, samples, lambda folder: ())
    assert paired_table(run, run)[UNIT].tolist() == ["a#1", "a#1", "a#2", "a#2"]


def samples(keys: str, references: str, **columns: list[float]) -> pd.DataFrame:
    digests = [letter * 64 for letter in references]
    return pd.DataFrame({"key": list(keys), REFERENCE_DIGEST: digests, **columns})


def test_a_key_that_stands_for_another_picture_is_refused() -> None:
    first, second = samples("abc", "123"), samples("abc", "132")
    assert len(pair_samples(first, first, record())) == 3
    with pytest.raises(NotComparableError) as caught:
        pair_samples(first, second, record())
    assert caught.value.reason == (
        "2 of 3 samples have the same key but another reference ('b' is the first)"
    )


def test_samples_in_another_order_pair_by_key_and_digest() -> None:
    first, second = samples("abc", "123", psnr=[1, 2, 3]), samples("cab", "312", psnr=[3, 1, 2])
    table = pair_samples(first, second, record())
    assert table["psnr_a"].tolist() == table["psnr_b"].tolist() == [1, 2, 3]


def test_runs_without_a_common_key_say_so() -> None:
    with pytest.raises(NotComparableError, match=r"no sample key in common .*'a' and 'x'"):
        pair_samples(samples("ab", "12"), samples("xy", "12"), record())


def test_records_without_digests_pair_by_key() -> None:
    old = pd.DataFrame({"key": list("abc")})
    assert len(pair_samples(old, samples("abc", "123"), record())) == 3
    prompts = old.assign(**{REFERENCE_DIGEST: None})
    assert len(pair_samples(prompts, prompts, record())) == 3


def test_units_with_infinite_values_keep_them() -> None:
    table = pd.DataFrame({
        "unit": ["p", "p", "q"], "psnr_a": [np.inf, 1.0, 2.0], "psnr_b": [1.0, 3.0, 4.0],
    })  # fmt: skip
    pairs = paired_values("psnr", result(1.5), result(8 / 3), table)
    assert pairs.first.tolist() == [np.inf, pytest.approx(4 / 3)]
    assert pairs.second.mean() == pytest.approx(8 / 3)
