"""Two folders of pictures instead of a model: the same metrics, paired by file name."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.datasets import Pairs, pair_folders, sample_digests
from layton_bench.errors import ModelOutputError
from layton_bench.images import decode_rgb, to_tensor
from layton_bench.machine import Reporter, Silent
from layton_bench.records import safe_name
from layton_bench.registry import Plugins
from layton_bench.run.execution import Outcome, execute
from layton_bench.run.plan import RunOptions
from layton_bench.run.ready_made import ready_made_plan
from layton_bench.suite import Suite
from layton_bench.types import Failure, ImageBatch, ScoredBatch

if TYPE_CHECKING:
    from torch import Tensor

METRICS = (
    "psnr", "ssim", "ms-ssim", "lpips-alex", "lpips-vgg", "delta-e", "brightness-bias",
    "colour-bias", "fid", "clean-fid", "kid",
)  # fmt: skip
"""What is computed if no suite is named."""


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

    With a suite, its protocol is applied to the references, and the pictures must already have
    its size. Without one, each pair is compared at its own size.

    Args:
        plugins: where names are looked up.
        reference: folder of original pictures.
        images: folder of reconstructions.
        options: how to run.
        suite_name: suite whose protocol and metrics to use.
        reporter: shows the progress.

    Raises:
        UserError: a folder is missing; no pictures pair up; a metric or suite is not known.
    """
    reporter = reporter or Silent()
    pairs = pair_folders(reference, images)
    plan = ready_made_plan(
        plugins,
        plugins.suites[suite_name] if suite_name else folder_suite(reference),
        images,
        pairs.references,
        FolderPictures(pairs, reporter),
        options,
        left_out=_left_out(pairs),
    )
    return execute(plugins, plan, reporter)


def folder_suite(reference: Path) -> Suite:
    """Return the suite of two folders: every pair at its own size, without preprocessing."""
    return Suite(
        name="folder", kind="reconstruction", summary="two folders, each pair at its own size",
        dataset="folder", reference=safe_name(reference.resolve().name), protocol="native@1",
        metrics=METRICS,
    )  # fmt: skip


class FolderPictures:
    """Reads the picture of each sample of a batch from its folder.

    Args:
        pairs: the folders.
        reporter: shows the progress of reading many pictures for their digests.
    """

    def __init__(self, pairs: Pairs, reporter: Reporter) -> None:
        self._reporter = reporter
        self._folder = pairs.candidates
        self._items = {item.key: item for item in pairs.candidates.items()}

    def __call__(self, batch: ImageBatch) -> ScoredBatch:
        """Read; raises ImageError, or ModelOutputError if the reference has another size."""
        import torch

        size = (batch.images.shape[2], batch.images.shape[3])
        with ThreadPoolExecutor(2) as pool:
            pictures = list(pool.map(lambda key: self._read(key, size), batch.keys))
        return ScoredBatch(
            keys=batch.keys, references=batch.images, candidates=torch.stack(pictures)
        )

    def digests(self) -> Mapping[str, str]:
        """Return the SHA-256 of each picture, by its sample's key."""
        return sample_digests(self._folder, list(self._items.values()), reporter=self._reporter)

    def _read(self, key: str, size: tuple[int, int]) -> Tensor:
        picture = to_tensor(decode_rgb(self._folder.read(self._items[key])))
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
