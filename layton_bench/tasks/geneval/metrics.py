"""GenEval as metrics of a run: overall and per task, judged by Mask2Former and CLIP.

The published script uses mmdetection's weights, so its values are not comparable. Therefore every
signature names the detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from layton_bench.errors import UserError
from layton_bench.metrics import MetricContext, MetricSpec
from layton_bench.tasks import TaskAccuracy, Verdict
from layton_bench.tasks.geneval.judging import Instance, Judgement, Rules, judge
from layton_bench.tasks.geneval.prompts import TASKS, ScenePrompt, object_names, official_prompts
from layton_bench.tasks.geneval.results import FAMILY, image_result
from layton_bench.types import prompt_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from layton_bench.tasks.geneval.colors import Crop
    from layton_bench.types import ScoredBatch

DETECTOR: Final = "m2f-swin-s-hf"
DETECTOR_WEIGHTS: Final = "mask2former-swin-s-coco"
COLOR_WEIGHTS: Final = "clip-vit-l-14"


class Detector(Protocol):
    """Finds objects in images."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], *, min_score: float
    ) -> list[dict[str, list[Instance]]]:
        """Return class name → instances for each image, uint8 RGB (H, W, 3)."""


@dataclass(frozen=True, slots=True)
class GenevalJudge:
    """Detects, names colours and judges.

    Attributes:
        detector: finds the objects.
        colors: crops → the colour of each.
        rules: thresholds.
    """

    detector: Detector
    colors: Callable[[Sequence[Crop]], Sequence[str]]
    rules: Rules = field(default_factory=Rules)

    def __call__(self, batch: ScoredBatch) -> list[Verdict]:
        """Return a verdict on each image of a batch."""
        images = [image.permute(1, 2, 0).contiguous().numpy() for image in batch.candidates]
        prompts = demands_of(batch)
        found = self.detector(images, min_score=self.rules.threshold)
        colors = self._colors_asked(images, prompts, found)
        return [
            verdict(
                key, prompt, judge(prompt, detections, partial(_look_up, colors), rules=self.rules)
            )
            for key, prompt, detections in zip(batch.keys, prompts, found, strict=True)
        ]

    def _colors_asked(
        self,
        images: Sequence[NDArray[np.uint8]],
        prompts: Sequence[ScenePrompt],
        found: Sequence[Mapping[str, Sequence[Instance]]],
    ) -> dict[int, str]:
        """Return instance id → colour, for all colours that the judge needs, in one pass.

        The judge runs once with empty colours to find these instances. They do not depend on the
        colours.
        """
        from layton_bench.tasks.geneval.colors import Crop, masked_crop

        crops: dict[int, Crop] = {}
        for image, prompt, detections in zip(images, prompts, found, strict=True):

            def note(
                name: str, asked: Sequence[Instance], image: NDArray[np.uint8] = image
            ) -> list[str]:
                crops.update((id(i), Crop(name, masked_crop(image, i))) for i in asked)
                return [""] * len(asked)

            judge(prompt, detections, note, rules=self.rules)
        return dict(zip(crops, self.colors(list(crops.values())), strict=True))


def _look_up(colors: Mapping[int, str], _: str, asked: Sequence[Instance]) -> list[str]:
    return [colors[id(instance)] for instance in asked]


def demands_of(batch: ScoredBatch) -> Sequence[ScenePrompt]:
    """Return the demands of a batch: its own, or the official ones by number.

    Official demands get the words of the prompt that was used.

    Raises:
        UserError: a sample does not belong to GenEval's prompts.
    """
    if batch.demands:
        return [ScenePrompt.model_validate_json(demand) for demand in batch.demands]
    return [
        _official(key, drawn.text) for key, drawn in zip(batch.keys, batch.prompts, strict=True)
    ]


def _official(key: str, text: str | None) -> ScenePrompt:
    number = prompt_key(key)
    prompts = official_prompts()
    if not number.isdecimal() or int(number) >= len(prompts) or text is None:
        raise UserError(
            f"sample '{key}'", "its prompt is not one of GenEval's", "Run the suite 'geneval'."
        )
    prompt = prompts[int(number)]
    return prompt if text == prompt.prompt else prompt.model_copy(update={"prompt": text})


def verdict(
    key: str, prompt: ScenePrompt, judgement: Judgement, *, task: str | None = None
) -> Verdict:
    """Return a judgement as a row of the run's table. ``task`` replaces the prompt's own task."""
    result = image_result(key, prompt, judgement)
    return Verdict(
        task=task or result.tag,
        correct=result.correct,
        reason=result.reason,
        metadata=result.metadata,
        details=result.details,
    )


def _load(context: MetricContext) -> GenevalJudge:
    """Return the judge with its two networks, loaded once per run for all metrics."""
    from layton_bench.tasks.geneval.colors import ClipColors
    from layton_bench.tasks.geneval.detector import Mask2FormerDetector

    def load() -> GenevalJudge:
        return GenevalJudge(
            detector=Mask2FormerDetector.load(
                context.weights(DETECTOR_WEIGHTS), object_names(), device=context.device
            ),
            colors=ClipColors.load(context.weights(COLOR_WEIGHTS), device=context.device),
        )

    return context.features.once((FAMILY, "judge"), (), load)


def _spec(name: str, label: str, summary: str, tasks: Sequence[str]) -> MetricSpec:
    def make(context: MetricContext) -> TaskAccuracy:
        judge_batch = _load(context)
        return TaskAccuracy(name, FAMILY, judge_batch, tasks, explains=name == FAMILY)

    return MetricSpec(
        name=name, label=label, direction="higher", summary=summary, make=make, digits=3,
        weights=(DETECTOR_WEIGHTS, COLOR_WEIGHTS), needs=frozenset({"prompt"}),
        signature={"detector": DETECTOR, "colors": "clip-vit-l-14", "thr": "0.3-0.9"},
    )  # fmt: skip


METRICS: Final = (
    _spec(
        FAMILY, f"GenEval[{DETECTOR}]", "GenEval: share of correct images, mean of the six tasks",
        TASKS,
    ),
    *(
        _spec(
            f"{FAMILY}-{task.replace('_', '-')}", task.replace("_", " "),
            f"GenEval's task {task.replace('_', ' ')}: share of correct images", (task,),
        )
        for task in TASKS
    ),
)  # fmt: skip
"""The overall score, and one per task."""
