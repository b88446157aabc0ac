"""A plugin for tests: a data set of small pictures, its suite, and models that go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from fakes import BAD_LEVEL, Grey, Noisy, Scaled, card, metric_spec
from places import SUPPORT

from layton_bench import Codes, DatasetSpec, LoadContext, MetricSpec, ModelSpec, hookimpl
from layton_bench.datasets.base import Dataset
from layton_bench.datasets.layouts.any import open_images
from layton_bench.errors import MissingDataError
from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.sets import frechet
from layton_bench.types import ScoredBatch


class Gain(Scaled):
    def __init__(self, context: LoadContext) -> None:
        self.factor = float(context.options["gain"])


class Faulty(Scaled):
    """Goes wrong wherever a picture of the bad level is in the batch."""

    def __init__(self, damage: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._damage = damage

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        assert codes.latents is not None
        is_bad = (codes.latents - (BAD_LEVEL / 127.5 - 1)).abs().amax(dim=(1, 2, 3)) < 1e-6
        images = super().decode(codes, seeds)
        return self._damage(images) if bool(is_bad.any()) else images


class Greedy(Scaled):
    """Runs out of memory above two images."""

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        if len(codes) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().decode(codes, seeds)


class Slow(Scaled):
    """Takes its time, and leaves a mark for each batch it has begun."""

    def __init__(self, context: LoadContext) -> None:
        self._marks = Path(str(context.options["marks"]))
        self._begun = 0

    def encode(self, images: torch.Tensor) -> Codes:
        self._begun += 1
        if self._marks.is_dir():
            (self._marks / str(self._begun)).touch()
        time.sleep(0.5)
        return super().encode(images)


def _raise(images: torch.Tensor) -> torch.Tensor:
    raise ArithmeticError("lost")


def _fail_to_load(context: LoadContext) -> Scaled:
    raise ImportError("no such kernel")


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    loads: dict[str, Callable[[LoadContext], object]] = {
        "lab-half": lambda context: Scaled(),
        "lab-grey": lambda context: Grey(),
        "lab-noisy": lambda context: Noisy(),
        "lab-nan": lambda context: Faulty(lambda images: images * float("nan")),
        "lab-raises": lambda context: Faulty(_raise),
        "lab-greedy": lambda context: Greedy(),
        "lab-unloadable": _fail_to_load,
        "lab-no-decoder": lambda context: object(),
    }
    for name, load in loads.items():
        register(ModelSpec(card=card(name, is_stochastic=name == "lab-noisy"), load=load))
    register(ModelSpec(card=card("lab-gain"), load=Gain, options={"gain": 0.5}))
    register(ModelSpec(card=card("lab-slow"), load=Slow, options={"marks": ""}))
    register(ModelSpec(card=card("lab-at-32", sizes_px=(32,)), load=loads["lab-half"]))
    register(ModelSpec(card=card("lab-draws", kind="generator"), load=loads["lab-half"]))
    register(ModelSpec(card=card("lab-weighty", weights=("lab-weights",)), load=loads["lab-half"]))


def _broken(batch: ScoredBatch) -> list[float]:
    raise ArithmeticError("no area")


@hookimpl
def layton_bench_register_metrics(register) -> None:
    register(metric_spec("level", digits=2))
    register(metric_spec("lab-broken", _broken))
    register(metric_spec("lab-packaged", requires={"no_such_package_here": "lab"}))
    register(MetricSpec(
        name="lab-fd", label="lab FD", direction="lower", summary="a distance of sets",
        make=lambda context: frechet._make(context, backbone="lab-means", tap="means"),
    ))  # fmt: skip


@hookimpl
def layton_bench_register_backbones(register: Callable[[BackboneSpec], None]) -> None:
    register(BackboneSpec(
        name="lab-means", taps=("means",), weights=(), load=lambda find, device: _means
    ))  # fmt: skip


def _means(images: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"means": images.float().mean(dim=(2, 3)) / 64}


@hookimpl
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(DatasetSpec(name="lab", summary="small pictures", num_items=None, open=_open))


def _open(root: Path | None) -> Dataset:
    if root is None or not (root / "lab").is_dir():
        expected = "no data root was given" if root is None else "there is no such folder"
        raise MissingDataError(str((root or Path()) / "lab"), expected, "Make it.")
    return open_images(root / "lab", name="lab")


@hookimpl
def layton_bench_register_suites(register: Callable[[Path], None]) -> None:
    register(SUPPORT / "lab-64.toml")
