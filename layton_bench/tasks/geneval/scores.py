"""GenEval's scores from judged images: the official summary, intervals, and completeness.

A results file has one JSON line an image: filename, tag, prompt, correct, reason, metadata and
details, the last two as JSON in a string.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from layton_bench.errors import MissingDataError, UserError
from layton_bench.intervals import wilson
from layton_bench.tasks.geneval.judging import Judgement, ScenePrompt
from layton_bench.tasks.geneval.prompts import IMAGES_PER_PROMPT, demand, first_problem

if TYPE_CHECKING:
    from pathlib import Path

# Names spelt out in a message about many prompts.
_MAX_LISTED = 3


class ImageResult(BaseModel):
    """One judged image, with the official file's fields; fields of others are ignored."""

    model_config = ConfigDict(frozen=True)

    filename: str
    tag: str
    prompt: str
    correct: bool
    reason: str = ""
    metadata: str
    details: str = "{}"


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
class GenevalSummary:
    """The official scores.

    Attributes:
        overall: unweighted mean of the tasks' scores, each over images; with low and high.
        tasks: tag → score, in the order in which tags first occur.
        image_accuracy: share of correct images, all tasks pooled.
        prompt_accuracy: share of prompts with at least one correct image.
    """

    overall: float
    low: float
    high: float
    tasks: Mapping[str, TaskScore]
    image_accuracy: float
    prompt_accuracy: float
    num_images: int
    num_prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What a set of results lacks of ``num_expected`` images; empty ``problems`` if nothing."""

    num_expected: int
    num_found: int
    problems: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether each prompt has exactly its images."""
        return not self.problems


def image_result(filename: str, prompt: ScenePrompt, judgement: Judgement) -> ImageResult:
    """A judged image in the official form; details hold the kept boxes, best first."""
    details = {
        name: [[*instance.box.tolist(), float(instance.score)] for instance in kept]
        for name, kept in judgement.kept.items()
    }
    return ImageResult(
        filename=filename,
        tag=prompt.tag,
        prompt=prompt.prompt,
        correct=judgement.correct,
        reason=judgement.reason,
        metadata=json.dumps(prompt.metadata()),
        details=json.dumps(details),
    )


def read_results(path: Path) -> tuple[ImageResult, ...]:
    """Results of an official ``results.jsonl``.

    Raises:
        UserError: no such file, no line in it, or a line that is no result; the line is named.
    """
    if not path.is_file():
        raise MissingDataError(str(path), "there is no such results file", "Check the path.")
    results = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            results.append(ImageResult.model_validate_json(line))
        except ValidationError as error:
            remedy = "Give the results.jsonl that a GenEval scorer wrote, unchanged."
            raise UserError(f"{path}, line {number}", first_problem(error), remedy) from error
    if not results:
        raise UserError(str(path), "it holds no results", "Score some images first.")
    return tuple(results)


def results_text(results: Iterable[ImageResult]) -> str:
    """Results as the lines of an official ``results.jsonl``."""
    return "".join(json.dumps(result.model_dump()) + "\n" for result in results)


def summarise(results: Sequence[ImageResult]) -> GenevalSummary:
    """The official summary of at least one result, with 95 % intervals over prompts."""
    if not results:
        raise ValueError("there is nothing to summarise")
    by_task: dict[str, list[ImageResult]] = defaultdict(list)
    for result in results:
        by_task[result.tag].append(result)
    tasks = {tag: task_score(_by_prompt(group)) for tag, group in by_task.items()}
    overall, low, high = mean_of_tasks(list(tasks.values()))
    prompts = _by_prompt(results)
    return GenevalSummary(
        overall=overall,
        low=low,
        high=high,
        tasks=tasks,
        image_accuracy=sum(result.correct for result in results) / len(results),
        prompt_accuracy=sum(correct > 0 for correct, _ in prompts) / len(prompts),
        num_images=len(results),
        num_prompts=len(prompts),
    )


def _by_prompt(results: Iterable[ImageResult]) -> list[tuple[int, int]]:
    """(correct images, images) of each prompt."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        counts[result.metadata][0] += result.correct
        counts[result.metadata][1] += 1
    return [(correct, total) for correct, total in counts.values()]


def task_score(clusters: Sequence[tuple[int, int]]) -> TaskScore:
    """A task's score from (correct images, images) of each of its prompts."""
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
    """95 % Wilson interval of a proportion whose trials come in clusters (images of one prompt).

    Wilson's interval at the effective number of trials, p (1 − p) / var(p̂), where var(p̂) is the
    ratio estimator's variance between clusters (Kish 1965; Korn and Graubard 1998). Where all
    trials agree nothing is known of the variance, and each cluster counts as one trial.

    Args:
        clusters: (successes, trials) of each cluster, trials positive.
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
    """Mean of independent proportions, and its interval from theirs.

    low = θ − √Σ cᵢ² (θᵢ − lowᵢ)², high likewise (Zou and Donner 2008, MOVER), cᵢ = 1 / tasks.
    """
    mean = sum(task.score for task in tasks) / len(tasks)
    below = math.hypot(*(task.score - task.low for task in tasks)) / len(tasks)
    above = math.hypot(*(task.high - task.score for task in tasks)) / len(tasks)
    return mean, max(0.0, mean - below), min(1.0, mean + above)


def completeness(
    results: Iterable[ImageResult],
    prompts: Sequence[ScenePrompt],
    *,
    images_per_prompt: int = IMAGES_PER_PROMPT,
) -> Completeness:
    """What is missing, in excess or unknown among results, by what each prompt demands.

    A prompt in other words counts as the prompt that demands the same.
    """
    found = Counter(_demand_of(result) for result in results)
    expected = Counter(demand(prompt) for prompt in prompts for _ in range(images_per_prompt))
    texts = {demand(prompt): prompt.prompt for prompt in prompts}
    missing = [texts[key] for key in expected if not found[key]]
    short = [texts[key] for key, count in expected.items() if 0 < found[key] < count]
    excess = [texts[key] for key, count in expected.items() if found[key] > count]
    unknown = [key for key in found if key not in expected]
    problems = (
        _listing(missing, "prompts have no image"),
        _listing(short, f"prompts have fewer than {images_per_prompt} images"),
        _listing(excess, f"prompts have more than {images_per_prompt} images"),
        _listing(unknown, "prompts are not of this set"),
    )
    return Completeness(
        num_expected=expected.total(),
        num_found=found.total(),
        problems=tuple(problem for problem in problems if problem),
    )


def _demand_of(result: ImageResult) -> str:
    try:
        return demand(ScenePrompt.model_validate_json(result.metadata))
    except ValidationError:
        return result.metadata


def _listing(names: Sequence[str], complaint: str) -> str:
    """``3 prompts have no image: "a", "b", "c"``; empty without names."""
    if not names:
        return ""
    listed = ", ".join(f'"{name}"' for name in names[:_MAX_LISTED])
    return f"{len(names)} {complaint}: {listed}{', …' if len(names) > _MAX_LISTED else ''}"
