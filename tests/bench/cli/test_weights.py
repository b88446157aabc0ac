"""`layton-bench weights` against a local server."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from lab import Bench, Site

CONTENT = b"weights" * 1000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin whose weights ``toy`` lie on a server, and a store of their own."""
    for name in ("http_proxy", "HTTP_PROXY", "HF_HUB_OFFLINE", "LAYTON_BENCH_OFFLINE",
                 "LAYTON_BENCH_MIRROR"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "store"))
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "toy.bin").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        file = tmp_path / f"{tmp_path.name}_plugin.py"  # a module of its own for each test
        file.write_text(
            f"""
from layton_bench import WeightsEntry, WeightsFile, hookimpl

@hookimpl
def layton_bench_register_weights(register):
    url = "http://127.0.0.1:{server.server_address[1]}/toy.bin"
    sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"
    file = WeightsFile(path="toy.bin", url=url, sha256=sha256, size_bytes=7 << 20)
    register(WeightsEntry(name="toy", files=(file,), licence="MIT", used_by=("nobody",)))
"""
        )
        yield file
        server.shutdown()


def test_pull_list_verify_path(bench: Bench, plugin: Path, tmp_path: Path) -> None:
    def weights(*words: str):
        return bench("--plugin", plugin, "weights", *words)

    def listed() -> str:
        return next(line for line in weights("list").out.splitlines() if line.startswith("toy "))

    assert "no" in listed().split() and "7 MiB" in listed()
    missing = weights("path", "toy")
    assert missing.code == 2 and "layton-bench weights pull toy" in missing.err
    pulled = weights("pull", "toy")
    path = tmp_path / "store" / "toy" / "toy.bin"
    assert pulled.code == 0 and pulled.out.strip() == str(path)
    assert path.read_bytes() == CONTENT
    assert "yes" in listed().split()
    assert weights("path", "toy").out.strip() == str(path)
    assert weights("path").out.strip() == str(tmp_path / "store")
    verified = weights("verify")
    assert verified.code == 0 and verified.out.strip() == "toy: unchanged"
    path.write_bytes(CONTENT[::-1])
    changed = weights("verify", "toy")
    assert changed.code == 2 and "toy: toy.bin has changed since it was installed" in changed.out


def test_add(bench, plugin: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(b"not it")
    refused = bench("--plugin", plugin, "weights", "add", "toy", mine)
    assert refused.code == 2 and "not a whole file of torch" in refused.err
    torch.save({"a": torch.ones(2)}, mine)
    own = bench("--plugin", plugin, "weights", "add", "toy", mine)
    assert own.code == 0 and "your own weights (SHA-256 " in own.err
    listed = bench("--plugin", plugin, "weights", "list").out
    assert "own weights" in next(line for line in listed.splitlines() if "toy" in line.split())
    mine.write_bytes(CONTENT)
    added = bench("--plugin", plugin, "weights", "add", "toy", mine)
    assert added.code == 0 and Path(added.out.strip()).read_bytes() == CONTENT


def test_mistakes(bench, plugin: Path, tmp_path: Path) -> None:
    unknown = bench("--plugin", plugin, "weights", "pull", "tob")
    assert unknown.code == 2 and "toy" in unknown.err
    (tmp_path / "served" / "toy.bin").unlink()
    gone = bench("--plugin", plugin, "weights", "pull", "toy")
    assert gone.code == 2 and "404" in gone.err


def test_weights_see_the_plugins_that_were_asked_for(bench: Bench, site: Site) -> None:
    file = site.module(
        "weighty",
        """
        from layton_bench import WeightsEntry, hookimpl, hub_file

        @hookimpl
        def layton_bench_register_weights(register):
            register(WeightsEntry(name="weighty-one", files=(hub_file("a/b", "c"),), licence="MIT"))
        """,
    )
    assert "weighty-one" in bench("--plugin", file, "weights", "list").out
