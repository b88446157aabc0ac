"""The built package holds every file of the source: code, faces, suites, templates, weights."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile

import pytest
from places import ROOT

PACKAGES = {"layton_bench": ROOT, "layton": ROOT} | {
    path.name: ROOT / "plugins"
    for path in (ROOT / "plugins").iterdir()
    if (path / "__init__.py").is_file()
}


def source_files() -> set[str]:
    """Files of the packages, as a wheel names them."""
    return {
        path.relative_to(base).as_posix()
        for package, base in PACKAGES.items()
        for path in (base / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a wheel that is built from a copy of the source, without a network."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("layton_bench", "layton", "plugins"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(copy / done.stdout.splitlines()[-1]) as built:
        return {name: built.read(name) for name in built.namelist()}


def test_the_wheel_holds_every_file_of_the_source(wheel: dict[str, bytes]) -> None:
    held = {name for name in wheel if ".dist-info/" not in name}
    assert held == source_files()
    # and these are not missing from the source itself
    assert {
        "layton_bench/metrics/__init__.pyi", "layton_bench/suites/photos-256.toml",
        "layton_bench/suites/geneval/evaluation_metadata.jsonl", "layton_bench/py.typed",
        "layton_bench/report/templates/index.html.j2", "layton_bench/report/assets/site.css",
        "layton_bench/models/external/child/layton_bench_child.py",
        "layton_bench/datasets/imagenet_wnids.txt", "layton/weights/fingerprints.json",
        "layton/pretrained/layton-tiny/model.safetensors", "layton/recipes/layton-tiny/1-vq.toml",
        "layton_bench_codecs/__init__.py",
    } <= held  # fmt: skip


def test_the_wheel_has_its_commands_and_plugins(wheel: dict[str, bytes]) -> None:
    (text,) = (data.decode() for name, data in wheel.items() if name.endswith("entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(text)
    assert points["console_scripts"]["layton-bench"] == "layton_bench.cli:main"
    assert points["console_scripts"]["layton"] == "layton.cli:main"
    assert dict(points["pytest11"]) == {"layton_bench_gates": "layton_bench.gates.plugin"}
    assert set(points["layton_bench"].values()) == set(PACKAGES) - {"layton_bench", "layton"}
