"""A second environment, and a watch on what a test leaves behind."""

import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a second environment, in which nothing is installed."""
    folder = tmp_path_factory.mktemp("second") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Tells what is left: processes with this test's folder in their words, exchange folders."""
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(exchange))
    monkeypatch.setenv("TMPDIR", str(exchange))

    def found() -> list[str]:
        words = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
        folders = exchange.glob("layton-bench-external-*")
        return [w for w in words if str(tmp_path) in w] + list(map(str, folders))

    yield found
    if found():
        gc.collect()  # an exception's traceback may hold a model
    assert found() == []
