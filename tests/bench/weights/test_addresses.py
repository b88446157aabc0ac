"""Where files are fetched from."""

from __future__ import annotations

from pathlib import Path

import pytest
from weights_server import CONTENT, SHA256, Server, entry, store_of

from layton_bench.errors import MissingWeightsError
from layton_bench.weights import WeightsEntry, hub_file


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "LAYTON_BENCH_OFFLINE"])
def test_offline_asks_nobody(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    monkeypatch.setenv(switch, "1")
    with pytest.raises(MissingWeightsError, match="weights add toy FILE"):
        store_of(entry(server), tmp_path).pull("toy")
    assert server.seen == []


def test_a_mirror_is_asked_in_place_of_the_address(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYTON_BENCH_MIRROR", f"{server.url}/mirror/")
    server.files["/mirror/toy/w.dat"] = CONTENT
    store_of(entry(server, sha256=SHA256), tmp_path).pull("toy")
    assert [path for path, _ in server.seen] == ["/mirror/toy/w.dat"]


def test_hub_files_come_from_the_endpoint_given(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/owner/repo/resolve/main/sub/w.dat"] = CONTENT
    item = WeightsEntry(name="toy", files=(hub_file("owner/repo", "sub/w.dat"),), licence="MIT")
    assert store_of(item, tmp_path).pull("toy").read_bytes() == CONTENT


def test_the_hub_cache_is_used_before_the_network(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cached"
    cached.write_bytes(CONTENT)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: str(cached))
    item = WeightsEntry(name="toy", files=(hub_file("owner/repo", "w.dat"),), licence="MIT")
    assert store_of(item, tmp_path).pull("toy").read_bytes() == CONTENT
    assert server.seen == []
