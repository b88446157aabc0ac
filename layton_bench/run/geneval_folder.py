"""GenEval on pictures that exist already, in a folder of GenEval's layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layton_bench.datasets import file_digests
from layton_bench.errors import ImageError, UserError
from layton_bench.images import read_file
from layton_bench.machine import Reporter, Silent
from layton_bench.run.execution import Outcome, execute
from layton_bench.run.plan import RunOptions
from layton_bench.run.ready_made import ready_made_plan
from layton_bench.tasks.geneval import (
    Layout,
    PromptFolder,
    demand,
    digest,
    official_prompts,
    read_layout,
    sample_name,
    variant_of,
)
from layton_bench.types import (
    Failure,
    ImageBatch,
    Item,
    Prompt,
    ScoredBatch,
    image_key,
    prompt_key,
    split_image_key,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layton_bench.registry import Plugins
    from layton_bench.suite import Suite
    from layton_bench.tasks.geneval import ScenePrompt

SUITE: Final = "geneval"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutDataset:
    """The prompts of a folder as samples; image k of a prompt is ``key#k``.

    Attributes:
        name: as suites name it.
        folders: key → prompt and pictures; a key is the prompt's number in its set.
    """

    name: str
    folders: Mapping[str, PromptFolder]

    def items(self) -> Sequence[Item]:
        """Return the prompts, in order."""
        return [
            Item(key=key, captions=(folder.prompt.prompt,)) for key, folder in self.folders.items()
        ]

    def content(self, item: Item) -> bytes:
        """Return what the fingerprint covers: the prompts alone, as in a run that draws."""
        return "\n".join(item.captions).encode()

    def read(self, item: Item) -> bytes:
        """Return picture ``key#k``: the file with number k. Raise ImageError if there is none."""
        key, number = split_image_key(item.key)
        folder = self.folders[key]
        if number not in folder.samples:
            raise ImageError(f"{sample_name(folder.index, number)} is missing")
        return read_file(folder.samples[number])


@dataclass(frozen=True, slots=True)
class LayoutPictures:
    """The pictures of a folder, which the data set has read, with their own prompts.

    Attributes:
        folders: key → prompt and pictures.
    """

    folders: Mapping[str, PromptFolder]

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Return the pictures of a batch."""
        prompts = [self.folders[prompt_key(key)].prompt for key in batch.keys]
        return ScoredBatch(
            keys=batch.keys,
            candidates=batch.images,
            prompts=tuple(
                Prompt(key=key, text=prompt.prompt)
                for key, prompt in zip(batch.keys, prompts, strict=True)
            ),
            demands=tuple(json.dumps(prompt.metadata()) for prompt in prompts),
        )

    def digests(self) -> Mapping[str, str]:
        """Return the SHA-256 of each picture, by its sample's key."""
        paths = {
            image_key(key, number): path
            for key, folder in self.folders.items()
            for number, path in folder.samples.items()
        }
        return dict(zip(paths, file_digests(list(paths.values())), strict=True))


def score_folder(
    plugins: Plugins, root: Path, options: RunOptions, *, reporter: Reporter | None = None
) -> Outcome:
    """Judge the pictures of a folder in GenEval's layout, as a run of the suite ``geneval``.

    A folder of the official prompts, complete and in the official words, is comparable with any
    other run of the suite; other words or other prompts make a suite of their own.

    Args:
        plugins: where names are looked up.
        root: the folder.
        options: how to run.
        reporter: shows the progress.

    Raises:
        UserError: the folder has nothing to score; a metric is not known.
    """
    layout = read_layout(root)
    if not layout.folders:
        raise UserError(str(root), "; ".join(_listed(layout.problems[:3])), "Fix the folder.")
    suite, folders, repeated = _identified(plugins.suites[SUITE], layout)
    dataset = LayoutDataset(name=suite.dataset, folders=folders)
    plan = ready_made_plan(
        plugins,
        suite,
        root,
        dataset,
        LayoutPictures(folders),
        options,
        left_out=(*layout.problems, *repeated, *_excess(folders, suite.images_per_prompt)),
    )
    return execute(plugins, plan, reporter or Silent())


def _excess(folders: Mapping[str, PromptFolder], images_per_prompt: int) -> list[Failure]:
    """Return the pictures beyond the number that the suite judges."""
    reason = f"the suite judges images 0 to {images_per_prompt - 1} of a prompt"
    return [
        Failure(key=sample_name(folder.index, number), stage="read", reason=reason)
        for folder in folders.values()
        for number in folder.samples
        if number >= images_per_prompt
    ]


def _listed(problems: Sequence[Failure]) -> list[str]:
    return [f"{problem.key}: {problem.reason}" for problem in problems]


def _identified(
    suite: Suite, layout: Layout
) -> tuple[Suite, dict[str, PromptFolder], tuple[Failure, ...]]:
    """Return the suite of these prompts, the folders by number, and folders of repeated prompts.

    Folders of official prompts get the official number, whatever theirs is.
    """
    prompts = [folder.prompt for folder in layout.folders]
    found = variant_of(prompts)
    if found == "other":
        changes = {"name": "geneval-other", "num_samples": len(prompts), "dataset": "prompts"}
        keyed = {f"{folder.index:05d}": folder for folder in layout.folders}
        return _renamed(suite, prompts, changes), keyed, ()
    numbers = {demand(prompt): number for number, prompt in enumerate(official_prompts())}
    folders: dict[str, PromptFolder] = {}
    repeated: list[Failure] = []
    for folder in layout.folders:
        key = f"{numbers[demand(folder.prompt)]:05d}"
        if key in folders:
            reason = f"its prompt is that of {folders[key].index:05d}"
            repeated.append(Failure(key=f"{folder.index:05d}", stage="read", reason=reason))
        else:
            folders[key] = folder
    if found == "rewritten":
        changes = {"name": "geneval-rewritten", "dataset": "geneval-rewritten"}
        suite = _renamed(suite, prompts, changes)
    return suite, dict(sorted(folders.items())), tuple(repeated)


def _renamed(suite: Suite, prompts: Sequence[ScenePrompt], changes: Mapping[str, object]) -> Suite:
    reference = f"{changes['name']}-{digest(prompts)[:8]}"
    return suite.model_copy(update={"reference": reference, **changes})
