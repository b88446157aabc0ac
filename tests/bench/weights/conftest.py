"""The server that weights are pulled from."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from weights_server import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_OFFLINE", "LAYTON_BENCH_OFFLINE", "LAYTON_BENCH_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("layton_bench.weights.download._CHUNK_BYTES", 65536)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []
