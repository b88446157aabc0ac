"""One file over HTTP, from a real server on the loopback interface."""

from __future__ import annotations

import gzip
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests
from weights_server import CONTENT, SHA256, Handler, Server

from layton_bench.errors import MissingWeightsError, UserError
from layton_bench.weights.download import download


def test_a_truncated_answer_is_resumed(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.script = ["truncate", "truncate"]
    target = tmp_path / "w.dat"
    digest = download(f"{server.url}/w.dat", target, sha256=SHA256, sleep=waits.append)
    assert digest == SHA256 and target.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.seen] == [None, "bytes=262144-", "bytes=524288-"]
    assert waits == [1.0, 2.0]


def test_resuming_starts_over_when_the_file_has_changed(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.script = ["truncate"]
    server.etag = '"old"'
    target = tmp_path / "w.dat"

    def replace_on_server(seconds: float) -> None:
        server.etag, server.files["/w.dat"] = '"new"', CONTENT[::-1]

    download(f"{server.url}/w.dat", target, sleep=replace_on_server)
    assert target.read_bytes() == CONTENT[::-1]
    assert server.seen[1][1] == "bytes=262144-"


def test_a_server_without_ranges_is_served_from_the_start(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.script = ["truncate", "ignore"]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, sleep=waits.append)
    assert (tmp_path / "w.dat").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_errors_are_tried_again(
    server: Server, tmp_path: Path, waits: list[float], status: int
) -> None:
    server.script = [status, status]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, sleep=waits.append)
    assert len(server.seen) == 3


def test_a_lasting_failure_says_what_to_do(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    server.script = [500] * 9
    with pytest.raises(UserError, match=r"4 attempts \(500 .*the download continues"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat", sleep=waits.append)
    assert len(server.seen) == 4 and not (tmp_path / "w.dat").exists()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_not_change_is_not_tried_again(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.script = [status]
    with pytest.raises(UserError, match=str(status)):
        download(f"{server.url}/w.dat", tmp_path / "w.dat")
    assert len(server.seen) == 1


def test_a_refused_connection_is_reported(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(UserError, match="ConnectionError"):
        download("http://127.0.0.1:9/w.dat", tmp_path / "w.dat", sleep=waits.append)


PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_with_status_200_is_refused(server: Server, tmp_path: Path, kind: str) -> None:
    server.script = [lambda handler: handler.answer(200, PAGE, Content_Type=kind)]
    with pytest.raises(UserError, match=r"answers with a web page.*browser"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat")
    assert list(tmp_path.iterdir()) == [] and len(server.seen) == 1


def test_a_web_page_that_says_it_is_data_is_refused(server: Server, tmp_path: Path) -> None:
    server.script = [
        lambda handler: handler.answer(200, PAGE, Content_Type="application/octet-stream")
    ]
    with pytest.raises(MissingWeightsError, match="a web page, not weights"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("told", ["bytes 0-9/1048576", "bytes 999999-1048575/1048576", "x", None])
def test_another_part_than_the_one_asked_is_not_appended(
    server: Server, tmp_path: Path, waits: list[float], told: str | None
) -> None:
    server.script = ["truncate", lambda handler: handler.answer(206, b"y" * 10, Content_Range=told)]
    target = tmp_path / "w.dat"
    digest = download(f"{server.url}/w.dat", target, sha256=SHA256, sleep=waits.append)
    assert digest == SHA256 and target.read_bytes() == CONTENT
    # after the wrong part, the third attempt asks for the whole file
    assert [wanted for _, wanted in server.seen] == [None, "bytes=262144-", None]


def test_a_part_that_was_not_asked_for_is_no_file(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    told = "bytes 0-9/1048576"
    server.script = [lambda handler: handler.answer(206, b"y" * 10, Content_Range=told)]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, sleep=waits.append)
    assert len(server.seen) == 2


def test_a_file_that_is_far_larger_than_registered_is_refused(
    server: Server, tmp_path: Path
) -> None:
    server.files["/w.dat"] = b"x" * (3 << 20)
    with pytest.raises(UserError, match=r"3,145,728 bytes or more; at most 2,149,580 were"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat", size_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []
    download(f"{server.url}/w.dat", tmp_path / "w.dat", size_bytes=3 << 20)


def test_bytes_without_end_are_not_written_without_end(server: Server, tmp_path: Path) -> None:
    def pour(handler: Handler) -> None:
        handler.answer(200, b"", Content_Length=None)  # the length is not said
        with suppress(OSError):
            while True:
                handler.wfile.write(b"z" * 65536)

    server.script = [pour]
    with pytest.raises(UserError, match="bytes or more; at most 2,"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat", size_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_the_server_says_how_long_to_wait(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.script = [
        lambda handler: handler.answer(429, b"", Retry_After="17"),
        lambda handler: handler.answer(503, b"", Retry_After=later),
        lambda handler: handler.answer(503, b"", Retry_After="soon"),
    ]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, sleep=waits.append)
    assert waits[0] == 17 and 35 < waits[1] <= 40 and waits[2] == 4


def test_nobody_waits_for_hours(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.script = [lambda handler: handler.answer(429, b"", Retry_After="86400")]
    with pytest.raises(UserError, match=r"1 attempt \(429.*Try again later"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat", sleep=waits.append)
    assert waits == []


def test_a_redirect_is_followed_and_another_host_gets_no_token(
    server: Server, tmp_path: Path
) -> None:
    port = server.server_address[1]
    server.files["/here"] = CONTENT
    server.script = [
        lambda handler: handler.answer(302, b"", Location="/again"),
        lambda handler: handler.answer(302, b"", Location=f"http://localhost:{port}/here"),
    ]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, token="t0ken")
    assert [path for path, _ in server.seen] == ["/w.dat", "/again", "/here"]
    assert server.tokens == ["Bearer t0ken", "Bearer t0ken", None]


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.script = [lambda handler: handler.answer(302, b"", Location="/w.dat")] * 99
    with pytest.raises(UserError, match="redirects more than 10 times"):
        download(f"{server.url}/w.dat", tmp_path / "w.dat")


@pytest.mark.parametrize("onward", ["http://example.org/w", "ftp://example.org/w", "file:///w"])
def test_a_redirect_away_from_encryption_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onward: str
) -> None:
    asked = []

    def get(url: str, **_: object) -> requests.Response:
        asked.append(url)
        answer = requests.Response()
        answer.raw = io.BytesIO()
        answer.status_code, answer.headers["Location"] = 302, onward
        return answer

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(UserError, match="not encrypted"):
        download("https://example.org/w.dat", tmp_path / "w.dat")
    assert asked == ["https://example.org/w.dat"]


def test_credentials_appear_in_no_message(tmp_path: Path, waits: list[float]) -> None:
    url = "http://user:hunter2@127.0.0.1:9/w.dat?signature=abc123"
    with pytest.raises(UserError) as found:
        download(url, tmp_path / "w.dat", token="t0ken", sleep=waits.append)
    for secret in ("hunter2", "abc123", "t0ken"):
        assert secret not in str(found.value)
    assert "127.0.0.1:9/w.dat" in found.value.thing


@pytest.mark.parametrize("etag", ['"' + "x" * 5000 + '"', '"a\xe4b"', 'W/"weak"', "bare"])
def test_an_odd_validator_is_not_kept(
    server: Server, tmp_path: Path, waits: list[float], etag: str
) -> None:
    server.etag = etag
    server.script = ["truncate"]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, sleep=waits.append)
    assert server.seen[1][1] is None  # without a validator the file is asked for from its start


def test_a_compressed_answer_is_not_taken_for_the_file(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    server.script = [lambda handler: handler.answer(200, bomb, Content_Encoding="gzip")]
    download(f"{server.url}/w.dat", tmp_path / "w.dat", sha256=SHA256, sleep=waits.append)
    assert len(server.seen) == 2
