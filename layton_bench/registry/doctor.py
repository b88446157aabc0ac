"""What is installed and found on this machine, and what each missing thing would enable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from layton_bench import __version__
from layton_bench.errors import LaytonBenchError, guarded
from layton_bench.registry.availability import has_package
from layton_bench.registry.plugins import Plugins
from layton_bench.weights import WeightsStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that ``doctor`` looks for.

    Attributes:
        area: ``machine``, ``plugins``, ``data sets``, ``weights``, ``models`` (models made of
            files that are not registered weights) or ``packages``.
        name: the thing.
        is_found: whether it is found and works.
        detail: what was found, or how to get it.
        enables: what works only with it.
    """

    area: str
    name: str
    is_found: bool
    detail: str
    enables: str = ""


def examine(plugins: Plugins, data_root: Path | None) -> list[Finding]:
    """Return everything that a run may need, whether found or not."""
    return [
        *_machine(),
        *_plugins(plugins),
        *_datasets(plugins, data_root),
        *_weights(plugins),
        *_models(plugins),
        *_packages(plugins),
    ]


def _machine() -> Iterator[Finding]:
    import torch

    yield Finding(area="machine", name="layton-bench", is_found=True, detail=__version__)
    yield Finding(
        area="machine", name="torch", is_found=True,
        detail=f"{torch.__version__}, {torch.get_num_threads()} threads",
    )  # fmt: skip
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "Metal"
    yield Finding(
        area="machine", name="GPU", is_found=has_gpu,
        detail=name if has_gpu else "none that torch can use; models run on the CPU",
    )  # fmt: skip
    yield _opencv()


def _opencv() -> Finding:
    """Import OpenCV: its build for desktops fails without libGL and libxcb."""
    enables = "faster PSNR, SSIM and MS-SSIM"
    try:
        with guarded():
            import cv2

            detail = str(cv2.__version__)
    except LaytonBenchError as error:
        remedy = "pip install --force-reinstall opencv-python-headless"
        detail = f"it cannot be imported ({error}); {remedy}"
        return Finding(
            area="machine", name="OpenCV", is_found=False, detail=detail, enables=enables
        )
    return Finding(area="machine", name="OpenCV", is_found=True, detail=detail, enables=enables)


def _plugins(plugins: Plugins) -> Iterator[Finding]:
    for info in plugins.infos:
        origin = f"{info.distribution} {info.version}" if info.distribution else "named by you"
        detail = origin if info.error is None else info.error
        yield Finding(area="plugins", name=info.name, is_found=info.error is None, detail=detail)


def _datasets(plugins: Plugins, data_root: Path | None) -> Iterator[Finding]:
    suites = defaultdict(list)
    for suite in plugins.suites.entries.values():
        suites[suite.dataset].append(suite.name)
    for name, spec in plugins.datasets.entries.items():
        enables = f"suites {', '.join(suites[name])}" if suites[name] else ""
        try:
            with guarded():
                count = len(plugins.open_dataset(name, data_root).items())
        except LaytonBenchError as error:
            yield Finding(
                area="data sets", name=name, is_found=False, detail=str(error), enables=enables
            )
            continue
        whole = f" of {spec.num_items:,}" if spec.num_items not in (None, count) else ""
        yield Finding(
            area="data sets", name=name, is_found=True, detail=f"{count:,}{whole} images",
            enables=enables,
        )  # fmt: skip


def _weights(plugins: Plugins) -> Iterator[Finding]:
    users = defaultdict(list)
    for metric in plugins.metrics.entries.values():
        for weight in metric.weights:
            users[weight].append(f"metric {metric.name}")
    cards = {model.card.name: model.card for model in plugins.models.entries.values()}
    for card in cards.values():
        for weight in card.weights:
            users[weight].append(f"model {card.name}")
    store = WeightsStore(plugins.weights.entries)
    for name in plugins.weights.entries:
        is_found = store.is_installed(name)
        detail = str(store.find(name)) if is_found else f"layton-bench weights pull {name}"
        if is_found and store.is_own(name):
            detail += " (own weights)"
        yield Finding(
            area="weights", name=name, is_found=is_found, detail=detail,
            enables=", ".join(users[name]),
        )  # fmt: skip


def _models(plugins: Plugins) -> Iterator[Finding]:
    specs = {spec.card.name: spec for spec in plugins.models.entries.values()}
    for name, spec in specs.items():
        try:
            with guarded():
                files = spec.files()
        except LaytonBenchError as error:
            yield Finding(area="models", name=name, is_found=False, detail=str(error))
            continue
        if files:
            yield Finding(area="models", name=name, is_found=True, detail=f"{len(files)} files")


def _packages(plugins: Plugins) -> Iterator[Finding]:
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for metric in plugins.metrics.entries.values():
        for package, extra in metric.requires.items():
            users[package, extra].append(f"metric {metric.name}")
    for (package, extra), names in users.items():
        is_found = has_package(package)
        detail = "installed" if is_found else f"pip install 'layton-bench[{extra}]'"
        yield Finding(
            area="packages", name=package, is_found=is_found, detail=detail,
            enables=", ".join(names),
        )  # fmt: skip
