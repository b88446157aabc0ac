"""A plugin for tests/attack: models, metrics and a data set, one for each way to go wrong.

Models halve the image, and go wrong where a picture of the bad level is in the batch.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fakes import BAD_LEVEL, Scaled, card, metric_spec
from places import SUPPORT

from layton_bench import Codes, DatasetSpec, Item, MetricSpec, MetricValue, ModelSpec, hookimpl
from layton_bench.datasets.layouts.any import open_images

Images = torch.Tensor


class Nasty(BaseException):
    """Derived from no Exception."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Touchy(torch.Tensor):
    """Fails at every use."""

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("do not touch")


def _raising(error: Callable[[], BaseException]) -> Callable[[Images], Any]:
    def damage(images: Images) -> Any:
        raise error()

    return damage


def _endless(images: Images) -> Any:
    return _endless(images)


RAISED: dict[str, Callable[[Images], Any]] = {
    "arithmetic": _raising(lambda: ArithmeticError("lost")),
    "base-exception": _raising(Nasty),
    "exit-0": _raising(lambda: SystemExit(0)),
    "exit-text": _raising(lambda: SystemExit("bye")),
    "keyboard-interrupt": _raising(KeyboardInterrupt),
    "generator-exit": _raising(GeneratorExit),
    "stop-iteration": _raising(StopIteration),
    "memory": _raising(MemoryError),
    "recursion": _endless,
    "mute": _raising(Mute),
    "long-message": _raising(lambda: ValueError("x" * 50_000_000)),
    "escapes": _raising(lambda: ValueError("\x1b]0;title\x07\x1b[2J\n\n\u202e")),
    "os-error": _raising(lambda: FileNotFoundError(2, "No such file or directory", "kernel.so")),
    "broken-pipe": _raising(lambda: BrokenPipeError(32, "Broken pipe")),
    "eof": _raising(EOFError),
}
"""What a model may raise."""

RETURNED: dict[str, Callable[[Images], Any]] = {
    "none": lambda images: None,
    "text": lambda images: "images",
    "list": lambda images: [images],
    "numpy": lambda images: images.numpy(),
    "one-less": lambda images: images[:-1],
    "small": lambda images: images[..., ::2, ::2],
    "grey": lambda images: images[:, :1],
    "no-batch": lambda images: images[0],
    "integers": lambda images: images.to(torch.uint8),
    "complex": lambda images: images.to(torch.complex64),
    "sparse": lambda images: images.to_sparse(),
    "meta": lambda images: images.to("meta"),
    "nan": lambda images: images * float("nan"),
    "one-nan": lambda images: images.index_fill(-1, torch.tensor([3]), float("nan")),
    "infinite": lambda images: images + float("inf"),
    "touchy": lambda images: images.as_subclass(Touchy),
}
"""What a model may return in place of images."""


def _change_folder(images: Images) -> Images:
    os.chdir("/")
    return images


def _seed(images: Images) -> Images:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    return images


def _default_dtype(images: Images) -> Images:
    torch.set_default_dtype(torch.float64)
    return images


def _gradients(images: Images) -> Images:
    torch.set_grad_enabled(True)
    return images.clone().requires_grad_()


def _talk(images: Images) -> Images:
    print("→ ", "\x1b[2J" * 10)
    print("on stderr", file=sys.stderr)
    return images


def _warn(images: Images) -> Images:
    warnings.warn("deprecated", DeprecationWarning, stacklevel=2)
    return images


def _ignore_signals(images: Images) -> Images:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return images


def _thread(images: Images) -> Images:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return images


HARMLESS: dict[str, Callable[[Images], Any]] = {
    "changes-folder": _change_folder,
    "seeds": _seed,
    "gradients": _gradients,
    "talks": _talk,
    "warns": _warn,
    "ignores-signals": _ignore_signals,
    "threads": _thread,
    "double": lambda images: images.double(),
    "far-away": lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
    "default-dtype": _default_dtype,
}
"""What a model may do beside its work: no sample is lost, and no number changes."""


class Misbehaving(Scaled):
    def __init__(self, damage: Callable[[Images], Any]) -> None:
        self._damage = damage

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Any:
        assert codes.latents is not None
        is_bad = (codes.latents - (BAD_LEVEL / 127.5 - 1)).abs().amax(dim=(1, 2, 3)) < 1e-6
        images = codes.latents * self.factor
        return self._damage(images) if bool(is_bad.any()) else images


class Overwriting(Scaled):
    """Works in the memory of its inputs."""

    def encode(self, images: Images) -> Codes:
        height, width = images.shape[-2:]
        codes = Codes(size_px=(height, width), latents=images.clone())
        images.zero_()
        return codes


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    for name, damage in (RAISED | RETURNED | HARMLESS).items():
        register(
            ModelSpec(
                card=card(f"bad-{name}"), load=lambda context, damage=damage: Misbehaving(damage)
            )
        )
    register(ModelSpec(card=card("bad-overwrites"), load=lambda context: Overwriting()))


class Broken:
    """A metric that goes wrong at one of its calls."""

    def __init__(self, call: str, damage: Callable[[], Any]) -> None:
        self._call, self._damage = call, damage

    def _at(self, call: str, otherwise: Any) -> Any:
        return self._damage() if call == self._call else otherwise

    def update(self, batch: Any) -> None:
        self._at("update", None)

    def compute(self) -> Any:
        return self._at("compute", MetricValue(value=1.0, n=1))

    def per_sample(self) -> Any:
        return self._at("per_sample", {})

    def state(self) -> Any:
        return {}

    def load_state(self, state: Any) -> None:
        pass

    def merge(self, other: Any) -> None:
        pass


def _raise(error: BaseException) -> Callable[[], Any]:
    def damage() -> Any:
        raise error

    return damage


METRICS: dict[str, tuple[str, Callable[[], Any]]] = {
    "update-raises": ("update", _raise(ArithmeticError("lost"))),
    "update-exits": ("update", _raise(SystemExit(0))),
    "compute-raises": ("compute", _raise(ArithmeticError("lost"))),
    "compute-exits": ("compute", _raise(SystemExit(0))),
    "compute-interrupts": ("compute", _raise(KeyboardInterrupt())),
    "compute-mute": ("compute", _raise(Mute())),
    "compute-none": ("compute", lambda: None),
    "compute-number": ("compute", lambda: 3.0),
    "compute-text": ("compute", lambda: MetricValue(value="3", n=1)),  # type: ignore[arg-type]
    "compute-nan": ("compute", lambda: MetricValue(value=float("nan"), n=1)),
    "compute-infinite": ("compute", lambda: MetricValue(value=float("-inf"), n=1)),
    "compute-tensor": ("compute", lambda: MetricValue(value=torch.tensor(3.0), n=1)),  # type: ignore[arg-type]
    "per-sample-raises": ("per_sample", _raise(ArithmeticError("lost"))),
    "per-sample-none": ("per_sample", lambda: None),
    "per-sample-strangers": ("per_sample", lambda: {"nobody": 1.0, 7: "x"}),
}
"""Metric → the call that goes wrong, and how."""


@hookimpl
def layton_bench_register_metrics(register: Callable[[MetricSpec], None]) -> None:
    for name, (call, damage) in METRICS.items():
        make = lambda context, call=call, damage=damage: Broken(call, damage)  # noqa: E731
        spec = metric_spec(f"bad-{name}")
        register(
            MetricSpec(
                name=spec.name, label=spec.label, direction=spec.direction, summary="broken",
                make=make,
            )
        )  # fmt: skip


class Sick:
    """The lab's pictures, and one thing wrong with the data set."""

    def __init__(self, inner: Any, kind: str) -> None:
        self._inner, self._kind, self.name = inner, kind, "sick"

    def items(self) -> Any:
        items = list(self._inner.items())
        broken: dict[str, Callable[[], Any]] = {
            "items-raise": _raise(ArithmeticError("lost")),
            "items-exit": _raise(SystemExit(0)),
            "items-none": lambda: None,
            "items-generator": lambda: (item for item in items),
            "same-key": lambda: [items[0]] * 2,
            "number-as-key": lambda: [Item(key=7, locator=items[0].locator)],  # type: ignore[arg-type]
            "no-items": list,
        }
        return broken.get(self._kind, lambda: items)()

    def source(self, item: Item) -> Path:
        path: Path = self._inner.source(item)
        return path

    def read(self, item: Item) -> Any:
        broken: dict[str, Callable[[], Any]] = {
            "read-raises": _raise(ArithmeticError("lost")),
            "read-exits": _raise(SystemExit(0)),
            "read-none": lambda: None,
            "read-text": lambda: "PNG",
        }
        return broken.get(self._kind, lambda: self._inner.read(item))()


DATASETS = (
    "items-raise", "items-exit", "items-none", "items-generator", "same-key", "number-as-key",
    "no-items", "read-raises", "read-exits", "read-none", "read-text",
)  # fmt: skip
"""What is wrong with the data set; the environment variable ATTACKED_DATA chooses."""


@hookimpl
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    def open_data(root: Path | None) -> Any:
        assert root is not None
        return Sick(open_images(root / "lab", name="lab"), os.environ["ATTACKED_DATA"])

    register(DatasetSpec(name="sick", summary="a sick data set", num_items=None, open=open_data))


@hookimpl
def layton_bench_register_suites(register: Callable[[Path], None]) -> Iterator[None] | None:
    register(SUPPORT / "sick-64.toml")
    return None
