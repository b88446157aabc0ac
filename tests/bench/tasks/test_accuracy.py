"""Metrics of judged pictures: shares by hand, merging, order, and verdicts shared in a family."""

import numpy as np
import pytest
import torch

from layton_bench.intervals import wilson
from layton_bench.metrics.base import Explains
from layton_bench.tasks.accuracy import TaskAccuracy, Verdict, clustered_wilson
from layton_bench.types import ScoredBatch

# key → (task, correct): prompts a and b of colors, c of counting
TRUTH = {
    "a#0": ("colors", True),
    "a#1": ("colors", False),
    "b#0": ("colors", True),
    "c#0": ("counting", False),
    "c#1": ("counting", True),
}


class Judge:
    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return [
            Verdict(
                task=TRUTH[key][0],
                correct=TRUTH[key][1],
                reason="" if TRUTH[key][1] else f"no {key}",
                metadata=f"m {key}",
                details="{}",
            )
            for key in batch.keys
        ]


def batch_of(*keys):
    return ScoredBatch(keys=keys, candidates=torch.zeros(len(keys), 3, 4, 4, dtype=torch.uint8))


def seen(*batches, tasks=("colors", "counting"), judge=None, explains=False):
    metric = TaskAccuracy("fam", "fam", judge or Judge(), tasks, explains=explains)
    for keys in batches:
        metric.update(batch_of(*keys))
    return metric


def test_mean_of_tasks_by_hand():
    value = seen(TRUTH).compute()
    assert value.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert value.n == 5
    low_colors, _ = clustered_wilson([(1, 2), (1, 1)])
    low_counting, _ = clustered_wilson([(1, 2)])
    expected = value.value - np.hypot(2 / 3 - low_colors, 1 / 2 - low_counting) / 2
    assert value.low == pytest.approx(expected)


def test_one_task():
    value = seen(TRUTH, tasks=("colors",)).compute()
    assert (value.value, value.n) == (pytest.approx(2 / 3), 3)
    assert (value.low, value.high) == pytest.approx(clustered_wilson([(1, 2), (1, 1)]))


def test_a_task_without_pictures_has_no_value():
    value = seen(["a#0"]).compute()
    assert value.value is None
    assert value.note == "no images of counting"
    assert seen().compute().value is None


def test_order_batches_and_merging_change_nothing():
    whole = seen(TRUTH, explains=True)
    parts = seen(["c#1", "b#0"], explains=True)
    parts.merge(seen(["a#1"], ["c#0", "a#0"], explains=True))
    assert parts.compute() == whole.compute()
    assert parts.per_sample() == whole.per_sample()
    assert parts.per_sample_texts() == whole.per_sample_texts()


def test_state_goes_to_another_process():
    metric = seen(TRUTH, explains=True)
    other = seen(explains=True)
    other.load_state({name: np.array(values) for name, values in metric.state().items()})
    assert other.compute() == metric.compute()
    assert other.per_sample_texts() == metric.per_sample_texts()
    empty = seen(explains=True)
    empty.load_state(seen().state())
    assert empty.compute().value is None


def test_verdicts_are_shared_in_a_family():
    judge = Judge()
    batch = batch_of(*TRUTH)
    metrics = [
        TaskAccuracy("fam", "fam", judge, ("colors", "counting")),
        TaskAccuracy("fam-colors", "fam", judge, ("colors",)),
    ]
    for metric in metrics:
        metric.update(batch)
    assert judge.calls == 1
    assert [metric.compute().n for metric in metrics] == [5, 3]


def test_columns():
    metric = seen(TRUTH, explains=True)
    assert isinstance(metric, Explains)
    assert metric.per_sample()["fam"] == {key: float(ok) for key, (_, ok) in TRUTH.items()}
    texts = metric.per_sample_texts()
    assert texts["fam-reason"]["a#1"] == "no a#1"
    assert texts["fam-metadata"]["b#0"] == "m b#0"
    assert set(texts) == {"fam-reason", "fam-metadata", "fam-details"}
    assert seen(TRUTH).per_sample_texts() == {}


def test_interval_of_clusters_that_agree_is_that_of_the_clusters():
    # images of a prompt all alike: four images tell no more than one
    clusters = [(4, 4)] * 30 + [(0, 4)] * 50
    low, high = clustered_wilson(clusters)
    # n_eff = p (1 − p) / var with the variance's factor P / (P − 1): 79 of 80 prompts
    assert (low, high) == pytest.approx(wilson(30 / 80 * 79, 79))


def test_interval_where_all_is_right_counts_prompts():
    assert clustered_wilson([(4, 4)] * 80) == pytest.approx(wilson(80, 80))
    assert clustered_wilson([(0, 4)] * 80)[0] == pytest.approx(0.0)


def test_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        rates = rng.beta(0.6, 1.4, size=80)
        low, high = clustered_wilson([(int(k), 4) for k in rng.binomial(4, rates)])
        hits += low <= 0.3 <= high
    # 95 % nominal; three standard errors of 400 draws are 3.3 points
    assert 0.917 <= hits / 400 <= 0.983


def test_pictures_of_a_prompt_whose_key_has_the_mark_are_one_cluster():
    verdicts = {"rock #1#0": True, "rock #1#1": True, "rock #2#0": False, "rock #2#1": True}

    def judge(batch):
        return [
            Verdict(task="colors", correct=verdicts[k], reason="", metadata="", details="{}")
            for k in batch.keys
        ]

    value = seen(verdicts, tasks=("colors",), judge=judge).compute()
    assert (value.low, value.high) == pytest.approx(clustered_wilson([(2, 2), (1, 2)]))
    assert (value.low, value.high) != pytest.approx(clustered_wilson([(3, 4)]), abs=1e-3)
