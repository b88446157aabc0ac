"""Two folders of pictures instead of a model: the same metrics, paired by file name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.datasets import Pairs, fingerprint, pair_folders
from layton_bench.errors import ModelOutputError
from layton_bench.images import decode_rgb, to_tensor
from layton_bench.machine import Clock, Reporter, Silent, resolve_device
from layton_bench.models import LoadContext, ModelCard, ModelSpec, Tokenizer
from layton_bench.records import safe_name
from layton_bench.registry import Plugins, metric_specs
from layton_bench.run.engine.loop import Candidates
from layton_bench.run.execution import Outcome, execute
from layton_bench.run.plan import Plan, RunOptions, select
from layton_bench.suite import Suite
from layton_bench.types import Failure, ImageBatch, Item, ScoredBatch

if TYPE_CHECKING:
    from torch import Tensor

METRICS = (
    "psnr", "ssim", "ms-ssim", "lpips-alex", "lpips-vgg", "delta-e", "brightness-bias",
    "colour-bias", "fid", "clean-fid", "kid",
)  # fmt: skip
"""What is computed where no suite is named."""


def score(
    plugins: Plugins,
    reference: Path,
    images: Path,
    options: RunOptions,
    *,
    suite_name: str | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Score the pictures of a folder against those of another, paired by path without extension.

    With a suite, its protocol is applied to the references, and the pictures must have its size
    already; without one, each pair is compared at its own size.

    Args:
        plugins: where names are looked up.
        reference: folder of original pictures.
        images: folder of reconstructions.
        options: how to run.
        suite_name: whose protocol and metrics to use.
        reporter: told how it goes on.

    Raises:
        UserError: a folder is missing or nothing pairs up; a metric or suite is not known.
    """
    pairs = pair_folders(reference, images)
    suite = plugins.suites[suite_name] if suite_name else folder_suite(reference)
    name = f"folder-{safe_name(images.resolve().name)}"
    card = ModelCard(
        name=name, kind="tokenizer", family="folder", summary=f"the pictures in {images.name}",
        notes="pictures from a folder: no model was run",
    )  # fmt: skip
    locators = {item.key: item for item in pairs.candidates.items()}

    def start(clock: Clock) -> Candidates:
        return ReadPictures(pairs, locators, clock)

    reporter = reporter or Silent()
    pictures = fingerprint(pairs.candidates, pairs.candidates.items(), reporter=reporter)
    plan = Plan(
        suite=suite, protocol=plugins.protocols[suite.protocol], model_name=name,
        spec=ModelSpec(card=card, load=_nothing_to_load), model_options={},
        dataset=pairs.references, has_images=True,
        items=select(pairs.references.items(), options.limit), options=options,
        device=resolve_device(options.device),
        metrics=metric_specs(plugins, suite, options.metrics), start=start,
        weights={"pictures": pictures},
        left_out=_left_out(pairs),
    )  # fmt: skip
    return execute(plugins, plan, reporter)


def folder_suite(reference: Path) -> Suite:
    """The suite of two folders alone: every pair at its own size, no preprocessing."""
    return Suite(
        name="folder", kind="reconstruction", summary="two folders, each pair at its own size",
        dataset="folder", reference=safe_name(reference.resolve().name), protocol="native@1",
        metrics=METRICS,
    )  # fmt: skip


class ReadPictures:
    """Reads the candidate of each sample of a batch from its folder.

    Args:
        pairs: the folders.
        candidates: sample key → item of the folder of candidates.
        clock: reading counts as decoding.
    """

    def __init__(self, pairs: Pairs, candidates: dict[str, Item], clock: Clock) -> None:
        self._folder = pairs.candidates
        self._candidates = candidates
        self._clock = clock

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Read; raises ImageError or ModelOutputError for one that does not fit its reference."""
        import torch

        size = (batch.images.shape[2], batch.images.shape[3])
        with self._clock.phase("decode"), ThreadPoolExecutor(2) as pool:
            pictures = list(pool.map(lambda key: self._read(key, size), batch.keys))
        return ScoredBatch(
            keys=batch.keys, references=batch.images, candidates=torch.stack(pictures)
        )

    def _read(self, key: str, size: tuple[int, int]) -> Tensor:
        picture = to_tensor(decode_rgb(self._folder.read(self._candidates[key])))
        found = (picture.shape[1], picture.shape[2])
        if found != size:
            raise ModelOutputError(
                f"the picture is {found[1]} × {found[0]}, its reference {size[1]} × {size[0]}"
            )
        return picture


def _left_out(pairs: Pairs) -> tuple[Failure, ...]:
    kinds = (
        ("there is no picture of that name", pairs.unpaired_references),
        ("there is no reference of that name", pairs.unpaired_candidates),
        ("another file has the same name", pairs.ambiguous),
    )
    return tuple(
        Failure(key=path, stage="read", reason=why) for why, paths in kinds for path in paths
    )


def _nothing_to_load(context: LoadContext) -> Tokenizer:
    raise AssertionError(f"a folder of pictures is never loaded on {context.device}")
