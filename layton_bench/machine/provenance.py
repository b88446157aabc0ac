"""Where a number comes from: versions, commit, machine, threads. One function, one frozen model."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

# packages whose version can change a metric's value
_PACKAGES = (
    "clean-fid", "diffusers", "layton-bench", "lpips", "numpy", "pandas", "pillow", "pyiqa",
    "scikit-image", "scipy", "torch", "torchmetrics", "torchvision", "transformers",
)  # fmt: skip
_CODECS = ("libjpeg_turbo", "jpg_2000", "webp", "avif", "zlib", "littlecms2")


class Provenance(BaseModel):
    """Versions and machine: everything apart from the inputs that can change a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    python: str
    """Python version."""
    packages: dict[str, str]
    """Installed versions of packages that can change a value."""
    codecs: dict[str, str]
    """Versions of the image libraries inside Pillow."""
    git_commit: str | None
    """Commit of the checkout the harness runs from; None outside one."""
    git_dirty: bool | None
    """Whether that checkout had uncommitted changes."""
    system: str
    """Operating system and machine."""
    processor: str
    """Processor, as it names itself."""
    device: str
    """Device the model ran on."""
    device_name: str
    """Name of that device."""
    threads: int
    """Threads of torch's CPU kernels."""


def collect(device: str) -> Provenance:
    """The provenance of a run on ``device``."""
    import torch

    commit, dirty = _git_state(Path(__file__).resolve().parents[2])
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return Provenance(
        python=platform.python_version(),
        packages=package_versions(),
        codecs=_codec_versions(),
        git_commit=commit,
        git_dirty=dirty,
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        device=device,
        device_name=name,
        threads=torch.get_num_threads(),
    )


def package_versions() -> dict[str, str]:
    """Return the installed versions of packages that can change a value."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _codec_versions() -> dict[str, str]:
    from PIL import features

    versions = {name: features.version(name) for name in _CODECS}
    return {name: str(found) for name, found in versions.items() if found}


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and dirtiness of a checkout; (None, None) for an installed package."""
    if not (folder / ".git").exists():
        return None, None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(changed)


def _git(folder: Path, *words: str) -> str:
    # no fsmonitor or hooks of the checkout may run: reading a state must not execute anything
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=20,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    )  # fmt: skip
    return done.stdout.strip()


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
