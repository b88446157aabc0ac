"""One file over HTTP, from a real server on the loopback interface."""

from __future__ import annotations

from pathlib import Path

import pytest
from weights_server import CONTENT, SHA256, Server

from layton_bench.errors import UserError
from layton_bench.weights.download import download


def test_a_truncated_answer_is_resumed(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.script = ["truncate", "truncate"]
    target = tmp_path / "w.bin"
    digest = download(f"{server.url}/w.bin", target, sha256=SHA256, sleep=waits.append)
    assert digest == SHA256 and target.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.seen] == [None, "bytes=262144-", "bytes=524288-"]
    assert waits == [1.0, 2.0]


def test_resuming_starts_over_when_the_file_has_changed(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.script = ["truncate"]
    server.etag = '"old"'
    target = tmp_path / "w.bin"

    def replace_on_server(seconds: float) -> None:
        server.etag, server.files["/w.bin"] = '"new"', CONTENT[::-1]

    download(f"{server.url}/w.bin", target, sleep=replace_on_server)
    assert target.read_bytes() == CONTENT[::-1]
    assert server.seen[1][1] == "bytes=262144-"


def test_a_server_without_ranges_is_served_from_the_start(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.script = ["truncate", "ignore"]
    download(f"{server.url}/w.bin", tmp_path / "w.bin", sha256=SHA256, sleep=waits.append)
    assert (tmp_path / "w.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_errors_are_tried_again(
    server: Server, tmp_path: Path, waits: list[float], status: int
) -> None:
    server.script = [status, status]
    download(f"{server.url}/w.bin", tmp_path / "w.bin", sha256=SHA256, sleep=waits.append)
    assert len(server.seen) == 3


def test_a_lasting_failure_says_what_to_do(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.script = [500] * 9
    with pytest.raises(UserError, match=r"4 attempts \(500 .*goes on from there"):
        download(f"{server.url}/w.bin", tmp_path / "w.bin", sleep=waits.append)
    assert len(server.seen) == 4 and not (tmp_path / "w.bin").exists()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_not_change_is_not_tried_again(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.script = [status]
    with pytest.raises(UserError, match=str(status)):
        download(f"{server.url}/w.bin", tmp_path / "w.bin")
    assert len(server.seen) == 1


def test_a_refused_connection_is_reported(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(UserError, match="ConnectionError"):
        download("http://127.0.0.1:9/w.bin", tmp_path / "w.bin", sleep=waits.append)
