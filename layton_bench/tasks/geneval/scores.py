"""GenEval's scores from judged images: the official summary, intervals, and completeness."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from layton_bench.tasks import TaskScore, mean_of_tasks, task_score
from layton_bench.tasks.geneval.prompts import IMAGES_PER_PROMPT, ScenePrompt, demand
from layton_bench.tasks.geneval.results import ImageResult

# A message about many prompts names this many.
_MAX_LISTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GenevalSummary:
    """The official scores.

    Attributes:
        overall: unweighted mean of the tasks' scores. ``low`` and ``high`` are its 95 % interval.
        tasks: tag → score over images, in the order in which tags first occur.
        image_accuracy: share of correct images over all tasks.
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
    """Whether results cover ``num_expected`` images. ``problems`` is empty if they do."""

    num_expected: int
    num_found: int
    problems: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether each prompt has exactly its number of images."""
        return not self.problems


def summarise(results: Sequence[ImageResult]) -> GenevalSummary:
    """Return the official summary of at least one result, with 95 % intervals over prompts."""
    if not results:
        raise ValueError("there are no results to summarise")
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
    """Return (correct images, images) of each prompt."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        counts[result.metadata][0] += result.correct
        counts[result.metadata][1] += 1
    return [(correct, total) for correct, total in counts.values()]


def completeness(
    results: Iterable[ImageResult],
    prompts: Sequence[ScenePrompt],
    *,
    images_per_prompt: int = IMAGES_PER_PROMPT,
) -> Completeness:
    """Compare results with the prompts they should cover: missing, too many, or unknown.

    Prompts are matched by their demands, so a prompt in other words counts too.
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
    """Return a text like ``3 prompts have no image: "a", "b", "c"``; empty without names."""
    if not names:
        return ""
    listed = ", ".join(f'"{name}"' for name in names[:_MAX_LISTED])
    return f"{len(names)} {complaint}: {listed}{', …' if len(names) > _MAX_LISTED else ''}"
