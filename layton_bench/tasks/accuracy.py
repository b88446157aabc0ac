"""Metrics of pictures that are judged right or wrong against their prompts, task by task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from layton_bench.tasks.geneval import mean_of_tasks, task_score
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from layton_bench.metrics import State
    from layton_bench.types import ScoredBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says of one picture.

    Attributes:
        task: the task of its prompt.
        correct: whether it shows what was asked.
        reason: why not.
        metadata: the prompt and its demands, JSON in GenEval's form.
        details: what was found, JSON in GenEval's form.
    """

    task: str
    correct: bool
    reason: str
    metadata: str
    details: str


Judge = Callable[["ScoredBatch"], Sequence[Verdict]]


class TaskAccuracy:
    """Share of correct pictures: of one task, or the unweighted mean over several.

    Intervals are over prompts: pictures ``p#0``, ``p#1`` … of a prompt are one cluster.

    Args:
        name: the metric's id and its column in samples.parquet.
        family: metrics of one family share the verdicts of a batch.
        judge: gives a verdict a picture.
        tasks: which tasks count.
        explains: whether reasons, metadata and details go to the table too.
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

    def update(self, batch: ScoredBatch) -> None:
        """Judge the pictures, or take the verdicts of the first metric of the family."""
        verdicts = batch.shared(("verdicts", self._family), lambda: self._judge(batch))
        for key, verdict in zip(batch.keys, verdicts, strict=True):
            if verdict.task in self._tasks:
                self._verdicts[key] = verdict

    def merge(self, other: Self) -> None:
        """Take in another accumulator's pictures."""
        self._verdicts.update(other._verdicts)

    def state(self) -> State:
        """Keys and verdicts, sorted by key."""
        keys = sorted(self._verdicts)
        columns = {
            field: np.array([getattr(self._verdicts[key], field) for key in keys], dtype=np.str_)
            for field in ("task", "reason", "metadata", "details")
        }
        correct = np.array([self._verdicts[key].correct for key in keys], dtype=np.bool_)
        return {"keys": np.array(keys, dtype=np.str_), "correct": correct, **columns}

    def load_state(self, state: State) -> None:
        """Replace the pictures."""
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

    def compute(self) -> MetricValue:
        """The share with its interval; None where one of the tasks has no picture."""
        counts: dict[str, dict[str, list[int]]] = {task: {} for task in self._tasks}
        for key, verdict in self._verdicts.items():
            cluster = counts[verdict.task].setdefault(key.partition("#")[0], [0, 0])
            cluster[0] += verdict.correct
            cluster[1] += 1
        absent = [task for task, clusters in counts.items() if not clusters]
        n = len(self._verdicts)
        if absent:
            return MetricValue(value=None, n=n, note=f"no pictures of {', '.join(absent)}")
        scores = [
            task_score([(correct, total) for _, (correct, total) in sorted(clusters.items())])
            for clusters in counts.values()
        ]
        mean, low, high = mean_of_tasks(scores)
        return MetricValue(value=mean, low=low, high=high, n=n, influence=self._influence())

    def _influence(self) -> dict[str, float]:
        """Of each picture on the mean over tasks: the fewer its task has, the more it counts."""
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
        """1 where right, 0 where wrong."""
        return {self._name: {key: float(v.correct) for key, v in self._verdicts.items()}}

    def per_sample_texts(self) -> Mapping[str, Mapping[str, str]]:
        """Reason, metadata and details of each picture, if this metric explains."""
        if not self._explains:
            return {}
        columns: dict[str, dict[str, str]] = defaultdict(dict)
        for key, verdict in self._verdicts.items():
            columns[f"{self._name}-reason"][key] = verdict.reason
            columns[f"{self._name}-metadata"][key] = verdict.metadata
            columns[f"{self._name}-details"][key] = verdict.details
        return columns
