"""What is installed is what was verified."""

from __future__ import annotations

from pathlib import Path

import pytest
from weights_server import CONTENT, SHA256, Server, entry, store_of

from layton_bench.errors import MissingWeightsError


def test_changed_files_are_noticed(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    assert store.verify("toy").is_installed
    path.write_bytes(CONTENT[::-1])  # the same size: only reading it shows
    assert store.verify("toy").problem == "w.dat has changed since it was installed"
    with pytest.raises(MissingWeightsError, match="changed since"):
        store.digest("toy")
    path.write_bytes(CONTENT[:10])
    assert not store.is_installed("toy")
    path.unlink()
    assert store.verify("toy").problem == "w.dat is missing"
    assert store.pull("toy").read_bytes() == CONTENT


def test_a_damaged_manifest_counts_as_not_installed(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    (path.parent / ".installed.json").write_text('{"w.dat": {"sha')
    assert not store.is_installed("toy")
    assert store.pull("toy").read_bytes() == CONTENT


def test_a_digest_not_published_is_pinned_at_the_first_pull(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    path.unlink()
    server.files["/w.dat"] = CONTENT[::-1]
    with pytest.raises(MissingWeightsError, match=f"expected {SHA256}"):
        store.pull("toy")
