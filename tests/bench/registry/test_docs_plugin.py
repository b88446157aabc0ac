"""The plugin of docs/plugins.md: taken from the page, installed by pip, run by its entry point."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import ROOT
from skimage.data import astronaut

from layton_bench.datasets.protocols import canonical

PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
FILES = dict(re.findall(r"<!-- plugin: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def in_process(target: Path | None, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = [str(ROOT), str(ROOT / "plugins"), *([str(target)] if target else [])]
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=900,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the distribution, without a network."""
    target = tmp_path_factory.mktemp("target")
    done = in_process(
        None, "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-deps",
        "--disable-pip-version-check", "--target", str(target), ".", cwd=source,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def test_the_page_holds_a_whole_plugin_of_thirty_lines() -> None:
    assert set(FILES) == {"layton_bench_blocks.py", "pyproject.toml"}
    lines = [line for line in FILES["layton_bench_blocks.py"].splitlines() if line.strip()]
    assert len(lines) <= 30


def test_the_installed_plugin_is_listed_with_its_distribution(
    installed: Path, tmp_path: Path
) -> None:
    done = in_process(installed, "-m", "layton_bench", "list", "plugins", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {
        "plugin": "blocks", "distribution": "layton-bench-blocks", "version": "0.1.0",
        "state": "works",
    } in json.loads(done.stdout)  # fmt: skip


def psnr_by_hand() -> float:
    """Blocks of 8 × 8 of the astronaut, each to the nearest of 8 levels a channel."""
    reference = canonical(Image.fromarray(astronaut()), 256).astype(np.float64)
    means = reference.reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    levels = np.round(means / 127.5 * 3.5) / 3.5 * 127.5
    restored = np.round(levels).repeat(8, axis=0).repeat(8, axis=1)
    return float(10 * np.log10(255**2 / ((restored - reference) ** 2).mean()))


RUN = ("run", "--suite", "photos-256", "--model", "blocks-8", "--limit", "5", "--json")
METRICS = ("--metric", "psnr", "--metric", "codebook-usage")


def check(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    import pandas as pd

    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    assert record["bits_per_image"] == 32 * 32 * 9
    assert record["model"]["card"]["licence"] == "MIT"
    assert 0 < record["metrics"]["codebook-usage"]["value"] <= 1
    (table,) = folder.glob("results/photos-256/blocks-8/*/samples.parquet")
    samples = pd.read_parquet(table).set_index("key")
    assert len(samples) == 5
    # a block's mean may lie between two levels, where float32 goes the other way
    assert samples.loc["astronaut", "psnr"] == pytest.approx(psnr_by_hand(), abs=0.01)


def test_the_installed_plugin_runs(installed: Path, tmp_path: Path) -> None:
    done = in_process(installed, "-m", "layton_bench", *RUN, *METRICS, cwd=tmp_path)
    check(done, tmp_path)


def test_the_file_runs_as_it_is(source: Path, tmp_path: Path) -> None:
    plugin = str(source / "layton_bench_blocks.py")
    done = in_process(None, "-m", "layton_bench", "--plugin", plugin, *RUN, *METRICS, cwd=tmp_path)
    check(done, tmp_path)


def test_the_environment_variable_names_it_too(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYTON_BENCH_PLUGINS", str(source / "layton_bench_blocks.py"))
    done = in_process(None, "-m", "layton_bench", "list", "models", "--json", cwd=tmp_path)
    assert "blocks-8" in {row["model"] for row in json.loads(done.stdout)}
