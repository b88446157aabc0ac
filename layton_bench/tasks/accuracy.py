"""Metrics of images that are judged correct or wrong against their prompts, task by task."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from layton_bench.intervals import wilson
from layton_bench.metrics import Failures, joined
from layton_bench.types import MetricValue, prompt_key

if TYPE_CHECKING:
    from layton_bench.metrics import State
    from layton_bench.types import ScoredBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """A task's share of correct images, with its 95 % interval over prompts."""

    score: float
    low: float
    high: float
    num_correct: int
    num_images: int
    num_prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judge's verdict on one image.

    Attributes:
        task: the task of its prompt.
        correct: whether the image shows what the prompt demands.
        reason: why it does not; empty if it does.
        metadata: the prompt and its demands, as JSON in GenEval's form.
        details: the objects found, as JSON in GenEval's form.
    """

    task: str
    correct: bool
    reason: str
    metadata: str
    details: str


Judge = Callable[["ScoredBatch"], Sequence[Verdict]]


def task_score(clusters: Sequence[tuple[int, int]]) -> TaskScore:
    """Return a task's score from (correct images, images) of each of its prompts."""
    correct, total = sum(c for c, _ in clusters), sum(n for _, n in clusters)
    low, high = clustered_wilson(clusters)
    return TaskScore(
        score=correct / total,
        low=low,
        high=high,
        num_correct=correct,
        num_images=total,
        num_prompts=len(clusters),
    )


def clustered_wilson(clusters: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share whose trials come in clusters: images of a prompt.

    The number of trials is replaced by the effective number, p (1 − p) / var(p̂), where var(p̂) is
    the ratio estimator's variance between clusters (Kish 1965; Korn and Graubard 1998). If all
    trials agree, the variance is unknown, and each cluster counts as one trial.

    Args:
        clusters: (successes, trials) of each cluster, with at least one trial.
    """
    counts = np.asarray(clusters, dtype=np.float64)
    successes, trials = counts.sum(axis=0).tolist()
    num_clusters = len(counts)
    p = successes / trials
    effective = float(num_clusters)
    if num_clusters > 1 and 0 < p < 1:
        spread = float(((counts[:, 0] - p * counts[:, 1]) ** 2).sum())
        variance = spread * num_clusters / (num_clusters - 1) / trials**2
        effective = trials if variance == 0 else min(trials, p * (1 - p) / variance)
    return wilson(p * effective, effective)


def mean_of_tasks(tasks: Sequence[TaskScore]) -> tuple[float, float, float]:
    """Return the mean of independent shares, and the low and high end of its interval.

    With θ the mean and cᵢ = 1 / number of tasks, low = θ − √Σ cᵢ² (θᵢ − lowᵢ)² and
    high = θ + √Σ cᵢ² (highᵢ − θᵢ)² (Zou and Donner 2008, MOVER).
    """
    mean = sum(task.score for task in tasks) / len(tasks)
    below = math.hypot(*(task.score - task.low for task in tasks)) / len(tasks)
    above = math.hypot(*(task.high - task.score for task in tasks)) / len(tasks)
    return mean, max(0.0, mean - below), min(1.0, mean + above)


class TaskAccuracy:
    """Share of correct images: of one task, or the unweighted mean over several tasks.

    Intervals are over prompts: the images of a prompt are one cluster.

    Args:
        name: the metric's id, and its column in samples.parquet.
        family: metrics of one family share the verdicts of a batch.
        judge: batch → one verdict per image.
        tasks: tasks that count.
        explains: whether reasons, metadata and details are columns too.
    """

    def __init__(
        self, name: str, family: str, judge: Judge, tasks: Sequence[str], *, explains: bool = False
    ) -> None:
        self._name = name
        self._family = family
        self._judge = judge
        self._tasks = tuple(tasks)
        self._explains = explains
        self._verdicts: dict[str, Verdict] = {}
        self._failures = Failures(name)

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why it has no verdict."""
        return self._failures.reasons

    def update(self, batch: ScoredBatch) -> None:
        """Judge the images of a batch, once for all metrics of the family."""
        for part, verdicts in self._failures.attempt(batch, self._judged):
            for key, verdict in zip(part.keys, verdicts, strict=True):
                if verdict.task in self._tasks:
                    self._verdicts[key] = verdict

    def _judged(self, batch: ScoredBatch) -> Sequence[Verdict]:
        return batch.shared(("verdicts", self._family), lambda: self._judge(batch))

    def merge(self, other: Self) -> None:
        """Add another accumulator's images."""
        self._verdicts.update(other._verdicts)
        self._failures.merge(other._failures)

    def state(self) -> State:
        """Return keys and verdicts, (n,) each, sorted by key."""
        keys = sorted(self._verdicts)
        columns = {
            field: np.array([getattr(self._verdicts[key], field) for key in keys], dtype=np.str_)
            for field in ("task", "reason", "metadata", "details")
        }
        correct = np.array([self._verdicts[key].correct for key in keys], dtype=np.bool_)
        return {
            "keys": np.array(keys, dtype=np.str_), "correct": correct, **columns,
            **self._failures.state(),
        }  # fmt: skip

    def load_state(self, state: State) -> None:
        """Replace the images by those of a state."""
        self._verdicts = {
            str(key): Verdict(
                correct=bool(state["correct"][i]),
                task=str(state["task"][i]),
                reason=str(state["reason"][i]),
                metadata=str(state["metadata"][i]),
                details=str(state["details"][i]),
            )
            for i, key in enumerate(state["keys"])
        }
        self._failures.load_state(state)

    def compute(self) -> MetricValue:
        """Return the share with its interval. There is no value if a task has no image."""
        counts: dict[str, dict[str, list[int]]] = {task: {} for task in self._tasks}
        for key, verdict in self._verdicts.items():
            cluster = counts[verdict.task].setdefault(prompt_key(key), [0, 0])
            cluster[0] += verdict.correct
            cluster[1] += 1
        absent = [task for task, clusters in counts.items() if not clusters]
        n = len(self._verdicts)
        failed = self._failures.note(n) if n else ""
        if absent:
            note = joined(f"no images of {', '.join(absent)}", failed)
            return MetricValue(value=None, n=n, note=note)
        scores = [
            task_score([(correct, total) for _, (correct, total) in sorted(clusters.items())])
            for clusters in counts.values()
        ]
        mean, low, high = mean_of_tasks(scores)
        return MetricValue(
            value=mean, low=low, high=high, n=n, note=failed, influence=self._influence()
        )

    def _influence(self) -> dict[str, float]:
        """Return the influence of each image on the mean; greater in tasks with few images."""
        right = {key: (v.task, float(v.correct)) for key, v in self._verdicts.items()}
        numbers = Counter(task for task, _ in right.values())
        means = {
            task: sum(value for t, value in right.values() if t == task) / number
            for task, number in numbers.items()
        }
        return {
            key: len(right) / len(numbers) * (value - means[task]) / numbers[task]
            for key, (task, value) in sorted(right.items())
        }

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return one column: 1 for a correct image, 0 for a wrong one."""
        return {self._name: {key: float(v.correct) for key, v in self._verdicts.items()}}

    def per_sample_texts(self) -> Mapping[str, Mapping[str, str]]:
        """Return reason, metadata and details of each image, if this metric explains."""
        if not self._explains:
            return {}
        columns: dict[str, dict[str, str]] = defaultdict(dict)
        for key, verdict in self._verdicts.items():
            columns[f"{self._name}-reason"][key] = verdict.reason
            columns[f"{self._name}-metadata"][key] = verdict.metadata
            columns[f"{self._name}-details"][key] = verdict.details
        return columns
