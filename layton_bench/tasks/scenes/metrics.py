"""The scenes' judge as metrics of a run: overall, by task, and over held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from layton_bench.errors import UserError
from layton_bench.metrics import MetricContext, MetricSpec
from layton_bench.tasks import TaskAccuracy, Verdict
from layton_bench.tasks.geneval import TASKS, verdict
from layton_bench.tasks.scenes.grammar import SCENE_TASKS
from layton_bench.tasks.scenes.prompt_set import HELD_OUT_TASKS, suite_prompts
from layton_bench.types import prompt_key

if TYPE_CHECKING:
    from layton_bench.types import ScoredBatch

FAMILY: Final = "scenes"
JUDGE_VERSION: Final = 1
"""Must be raised when the same image may get another verdict."""


def judge_batch(batch: ScoredBatch) -> list[Verdict]:
    """Return a verdict on each image of scenes-gen. Raise UserError for other samples."""
    from layton_bench.tasks.scenes.judge import judge_image

    prompts = suite_prompts()
    verdicts = []
    for key, image in zip(batch.keys, batch.candidates, strict=True):
        known = prompts.get(prompt_key(key))
        if known is None:
            reason = "its prompt is not one of the scenes'"
            raise UserError(f"sample '{key}'", reason, "Run the suite 'scenes-gen'.")
        task, prompt = known
        judgement = judge_image(image.permute(1, 2, 0).contiguous().numpy(), prompt)
        verdicts.append(verdict(key, prompt, judgement, task=task))
    return verdicts


def _spec(name: str, label: str, summary: str, tasks: Sequence[str]) -> MetricSpec:
    def make(_: MetricContext) -> TaskAccuracy:
        return TaskAccuracy(name, FAMILY, judge_batch, tasks, explains=name == FAMILY)

    return MetricSpec(
        name=name, label=label, direction="higher", summary=summary, make=make, digits=3,
        needs=frozenset({"prompt"}), signature={"judge": f"scenes@{JUDGE_VERSION}"},
    )  # fmt: skip


METRICS: Final = (
    _spec(FAMILY, "Scenes", "correct images, mean of GenEval's six tasks on shapes", TASKS),
    *(
        _spec(
            f"{FAMILY}-{task.replace('_', '-')}", task.replace("_", " "),
            f"Scenes' task {task.replace('_', ' ')}: share of correct images", (task,),
        )
        for task in SCENE_TASKS
    ),
    _spec(
        f"{FAMILY}-held-out", "held-out pairs",
        "Scenes: mean of four tasks on pairs of shape and colour held out from training",
        HELD_OUT_TASKS,
    ),
)  # fmt: skip
"""Overall, the eight tasks, and the held-out pairs."""
