"""``pyiqa:NAME``: any full- or no-reference metric of the package pyiqa, by its own name.

When pyiqa builds a metric, it downloads weights without verification and unpickles them without
limits. Here it gets them from the weights registry only. Each download is answered with the
installed file of that name. If the file is not installed, MissingWeightsError names the command to
install it. Metrics without weights work everywhere (fsim, vif, gmsd, nlpd, vsi, cw_ssim, mad, ssim,
psnr and more). Settings are pyiqa's defaults, in float32.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlsplit

from layton_bench.errors import MissingWeightsError, UnknownNameError, UserError
from layton_bench.metrics.base import (
    Direction,
    MetricContext,
    MetricPattern,
    MetricSpec,
    PerSampleMetric,
)
from layton_bench.metrics.pairs.perceptual import in_passes
from layton_bench.weights import entry_name

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.types import ScoredBatch

_OF_SETS = {"fid", "sfid", "fid_dinov2", "inception_score"}
_NEED_TEXT = {"clipscore"}
_NEED_PAIRS = {"fgresq_pair"}


def build(name: str, find: Callable[[str], Path], *, device: str) -> Any:
    """Return the pyiqa metric of that name, with weights from the registry.

    Raises:
        MissingWeightsError: a file that it needs is not installed.
    """
    import pyiqa
    import torch

    with _weights_from_registry(name, find), torch.random.fork_rng():
        return pyiqa.create_metric(name, device=torch.device(device))


@contextlib.contextmanager
def _weights_from_registry(name: str, find: Callable[[str], Path]) -> Iterator[None]:
    """Answer each download from the registry, and load no pickle with more than tensors."""
    import urllib.request

    import huggingface_hub
    import packaging.version
    import torch
    from pyiqa.utils import download_util

    def install(url: str, target: str, *_: object, **__: object) -> None:
        Path(target).symlink_to(_installed(name, url, find).resolve())

    def answer(url: Any, *_: object, **__: object) -> Any:
        address = url if isinstance(url, str) else url.full_url
        return _installed(name, address, find).open("rb")

    safe_load = partial(torch.load, weights_only=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as patches:
        for owner, attribute, value in (
            (torch.hub, "get_dir", lambda: folder),
            (torch.hub, "download_url_to_file", install),
            (download_util, "download_url_to_file", install),
            (download_util, "DEFAULT_CACHE_DIR", folder),
            (urllib.request, "urlopen", answer),
            (huggingface_hub.constants, "HF_HUB_OFFLINE", True),
            (torch, "load", lambda *a, **k: safe_load(*a, **{**k, "weights_only": True})),
        ):
            patches.enter_context(mock.patch.object(owner, attribute, value))
        if importlib.util.find_spec("pkg_resources") is None:
            # openai-clip imports packaging through it, and setuptools 81 dropped it
            stand_in = ModuleType("pkg_resources")
            stand_in.packaging = packaging  # type: ignore[attr-defined]
            sys.modules["pkg_resources"] = stand_in
            patches.callback(sys.modules.pop, "pkg_resources")
        patches.enter_context(contextlib.redirect_stdout(io.StringIO()))  # it prints what it loads
        try:
            yield
        except (huggingface_hub.errors.LocalEntryNotFoundError, OSError) as error:
            raise MissingWeightsError(
                f"weights of pyiqa:{name}", f"not found ({error})",
                "pyiqa reads them from the Hugging Face cache. Download them there with its tools.",
            ) from error  # fmt: skip


def _installed(name: str, url: str, find: Callable[[str], Path]) -> Path:
    """Return the registry's file for an address. Raise MissingWeightsError if there is none."""
    file = Path(urlsplit(url).path).name
    try:
        return find(entry_name(file))
    except UnknownNameError:
        raise MissingWeightsError(
            f"weights of pyiqa:{name}", f"'{file}' is not in the registry",
            "A plugin can register it: see layton_bench_register_weights.",
        ) from None  # fmt: skip


def _score(net: Any, candidates: Tensor, references: Tensor | None, *, device: str) -> Tensor:
    import torch

    with torch.no_grad():
        pair = [images.to(device).float() / 255 for images in (candidates, references)
                if images is not None]  # fmt: skip
        # one at a time, because some metrics depend on the rest of the batch
        scores: Tensor = torch.cat([net(*(x[i : i + 1] for x in pair)).reshape(1)
                                    for i in range(len(candidates))])  # fmt: skip
        return scores.double().cpu()


def _score_all(
    net: Any, batch: ScoredBatch, *, has_reference: bool, device: str
) -> Sequence[float]:
    if has_reference:
        return in_passes(partial(_score, net, device=device), batch)
    scores: list[float] = _score(net, batch.candidates, None, device=device).tolist()
    return scores


def _make(context: MetricContext, *, name: str, has_reference: bool) -> PerSampleMetric:
    net = build(name, context.weights, device=context.device)
    score = partial(_score_all, net, has_reference=has_reference, device=context.device)
    return PerSampleMetric(f"pyiqa:{name}", score)


def _known() -> Mapping[str, Mapping[str, Any]]:
    """Return pyiqa's metrics of single images, by name."""
    try:
        from pyiqa.default_model_configs import DEFAULT_CONFIGS
    except ImportError as error:
        raise UserError(
            "pyiqa",
            f"it cannot be imported ({error})",
            "Run pip install pyiqa. If a library such as libGL.so.1 is missing, install it (Debian:"
            " apt install libgl1 libxcb1), or run pip install --force-reinstall --no-deps"
            " opencv-python-headless.",
        ) from error
    left_out = _OF_SETS | _NEED_TEXT | _NEED_PAIRS
    return {name: entry for name, entry in DEFAULT_CONFIGS.items() if name not in left_out}


def _spec(match: re.Match[str]) -> MetricSpec:
    name, known = match["name"], _known()
    if name not in known:
        names = [f"pyiqa:{other}" for other in known]
        raise UnknownNameError("metric", match[0], names, listing="list metrics")
    has_reference = known[name]["metric_mode"] == "FR"
    direction: Direction = "lower" if known[name].get("lower_better") else "higher"
    return MetricSpec(
        name=match[0],
        label=f"{name} (pyiqa)",
        direction=direction,
        summary=f"pyiqa's {name}, {'full' if has_reference else 'no'}-reference",
        digits=4,
        needs=frozenset({"reference"}) if has_reference else frozenset(),
        signature={"lib": "pyiqa"},
        make=partial(_make, name=name, has_reference=has_reference),
    )


SPECS = (
    MetricPattern(
        pattern=re.compile(r"pyiqa:(?P<name>[\w+-]+)"),
        examples=("pyiqa:fsim", "pyiqa:vif", "pyiqa:musiq", "pyiqa:niqe", "pyiqa:clipiqa"),
        make_spec=_spec,
    ),
)
