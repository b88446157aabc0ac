"""The weights registry against a real HTTP server on the loopback interface."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from layton_bench.errors import MissingWeightsError, UnknownNameError, UserError
from layton_bench.weights import download as download_module
from layton_bench.weights.checkpoint import load_checkpoint, load_state_dict
from layton_bench.weights.download import download
from layton_bench.weights.store import (
    WeightsEntry,
    WeightsFile,
    WeightsStore,
    hub_file,
    weights_root,
)

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``script`` holds what to do at the next requests instead of answering."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/w.bin": CONTENT}
        self.etag = '"one"'
        self.script: list[str | int] = []
        self.seen: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range")))
        action = self.server.script.pop(0) if self.server.script else "serve"
        body = self.server.files.get(self.path)
        if isinstance(action, int) or body is None:
            status = action if isinstance(action, int) else 404
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == self.server.etag and action != "ignore":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if action == "truncate":
            self.wfile.write(body[start : start + 262_144])
            self.close_connection = True
        else:
            self.wfile.write(body[start:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_OFFLINE", "LAYTON_BENCH_OFFLINE", "LAYTON_BENCH_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download_module, "_CHUNK_BYTES", 65536)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


def entry(server: Server, **changes: object) -> WeightsEntry:
    file = WeightsFile(path="w.bin", url=f"{server.url}/w.bin", **changes)  # type: ignore[arg-type]
    return WeightsEntry(name="toy", files=(file,), licence="MIT", used_by=("nothing",))


def store_of(item: WeightsEntry, tmp_path: Path) -> WeightsStore:
    return WeightsStore({item.name: item}, tmp_path / "weights")


def test_pull_installs_what_was_served(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server, sha256=SHA256), tmp_path)
    assert not store.is_installed("toy")
    steps: list[tuple[str, int, int | None]] = []
    path = store.pull("toy", lambda *step: steps.append(step))
    assert path.read_bytes() == CONTENT
    assert store.is_installed("toy") and store.find("toy") == path
    assert store.digest("toy") == SHA256
    assert steps[-1] == ("w.bin", len(CONTENT), len(CONTENT))
    assert [f.name for f in path.parent.iterdir() if f.name.startswith("w.bin")] == ["w.bin"]
    assert store.pull("toy") == path and len(server.seen) == 1  # there already: nothing asked


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


def test_a_wrong_digest_installs_nothing(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server, sha256="0" * 64), tmp_path)
    with pytest.raises(MissingWeightsError, match=f"SHA-256 is {SHA256}, expected 0000"):
        store.pull("toy")
    assert not store.is_installed("toy")
    assert [p.name for p in (tmp_path / "weights" / "toy").iterdir()] == []


def test_the_published_first_digits_are_enough_to_refuse(server: Server, tmp_path: Path) -> None:
    store_of(entry(server, sha256=SHA256[:8]), tmp_path).pull("toy")
    with pytest.raises(MissingWeightsError):
        store_of(entry(server, sha256="6726825d"), tmp_path / "other").pull("toy")


def test_a_digest_not_published_is_pinned_at_the_first_pull(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    path.unlink()
    server.files["/w.bin"] = CONTENT[::-1]
    with pytest.raises(MissingWeightsError, match=f"expected {SHA256}"):
        store.pull("toy")


def test_changed_files_are_noticed(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    assert store.verify("toy").is_installed
    path.write_bytes(CONTENT[::-1])  # the same size: only reading it shows
    assert store.verify("toy").problem == "w.bin is not what was installed"
    with pytest.raises(MissingWeightsError, match="changed since"):
        store.digest("toy")
    path.write_bytes(CONTENT[:10])
    assert not store.is_installed("toy")
    path.unlink()
    assert store.verify("toy").problem == "w.bin is missing"
    assert store.pull("toy").read_bytes() == CONTENT


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
    server.files["/mirror/toy/w.bin"] = CONTENT
    store_of(entry(server, sha256=SHA256), tmp_path).pull("toy")
    assert [path for path, _ in server.seen] == ["/mirror/toy/w.bin"]


def test_hub_files_come_from_the_endpoint_given(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/owner/repo/resolve/main/sub/w.bin"] = CONTENT
    item = WeightsEntry(name="toy", files=(hub_file("owner/repo", "sub/w.bin"),), licence="MIT")
    assert store_of(item, tmp_path).pull("toy").read_bytes() == CONTENT


def test_the_hub_cache_is_used_before_the_network(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "cached"
    cached.write_bytes(CONTENT)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: str(cached))
    item = WeightsEntry(name="toy", files=(hub_file("owner/repo", "w.bin"),), licence="MIT")
    assert store_of(item, tmp_path).pull("toy").read_bytes() == CONTENT
    assert server.seen == []


def test_several_files_are_one_folder_and_are_not_fetched_twice(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module.time, "sleep", lambda seconds: None)
    server.files |= {"/a": b"aaa", "/b": b"bbb"}
    files = tuple(WeightsFile(path=f"sub/{n}", url=f"{server.url}/{n}") for n in "ab")
    store = store_of(WeightsEntry(name="toy", files=files, licence="MIT"), tmp_path)
    del server.files["/b"]
    with pytest.raises(UserError):
        store.pull("toy")
    assert not store.is_installed("toy")
    server.files["/b"] = b"bbb"
    folder = store.pull("toy")
    assert [(folder / "sub" / n).read_bytes() for n in "ab"] == [b"aaa", b"bbb"]
    assert [path for path, _ in server.seen] == ["/a", "/b", "/b"]
    lines = "\n".join(
        f"{hashlib.sha256(n * 3).hexdigest()}  sub/{n.decode()}" for n in (b"a", b"b")
    )
    assert store.digest("toy") == hashlib.sha256(lines.encode()).hexdigest()


def test_pulls_at_the_same_time_fetch_once(server: Server, tmp_path: Path) -> None:
    item = entry(server, sha256=SHA256)
    threads = [
        threading.Thread(target=store_of(item, tmp_path).pull, args=("toy",)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.seen) == 1 and store_of(item, tmp_path).digest("toy") == SHA256


def test_add_copies_and_checks(server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    store = store_of(entry(server, sha256=SHA256), tmp_path)
    assert store.add("toy", mine).read_bytes() == CONTENT and mine.exists()
    mine.write_bytes(b"something else")
    with pytest.raises(MissingWeightsError, match="begins with"):
        store.add("toy", mine)
    with pytest.raises(UserError, match="no such file"):
        store.add("toy", tmp_path / "absent")


def test_unknown_and_missing_names(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean toy"):
        store.pull("tos")
    with pytest.raises(MissingWeightsError) as caught:
        store.find("toy")
    assert (caught.value.reason, caught.value.remedy) == (
        "not found", "run layton-bench weights pull toy",
    )  # fmt: skip


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a\\b"])
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        WeightsFile(path=path, url="http://example.org/x")


def test_names_that_are_no_folder_are_refused() -> None:
    with pytest.raises(ValueError, match="not a weights entry"):
        WeightsEntry(name="../x", files=(WeightsFile(path="x", url="u"),), licence="")


def test_a_damaged_manifest_counts_as_not_installed(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    (path.parent / ".installed.json").write_text('{"w.bin": {"sha')
    assert not store.is_installed("toy")
    assert store.pull("toy").read_bytes() == CONTENT


def test_the_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAYTON_BENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert weights_root() == tmp_path / "hf" / "layton-bench" / "weights"
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "own"))
    assert weights_root() == tmp_path / "own"


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (Path("pwned"), "x"))


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2), "evil": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"could run any code.*--trust-pickle"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "pwned").exists()


def test_state_dicts_of_both_formats(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    torch.save(tensors, tmp_path / "t.pth")
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "nested.pth")
    save_file(tensors, tmp_path / "t.safetensors")
    for loaded in (
        load_state_dict(tmp_path / "t.pth"),
        load_state_dict(tmp_path / "t.safetensors"),
        load_state_dict(tmp_path / "nested.pth", key="state_dict"),
    ):
        assert {k: v.tolist() for k, v in loaded.items()} == {
            k: v.tolist() for k, v in tensors.items()
        }
    with pytest.raises(UserError, match="no tensors: epoch"):
        load_state_dict(tmp_path / "nested.pth")


@pytest.mark.parametrize("name", ["t.pth", "t.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 100])
def test_truncated_files_are_named(tmp_path: Path, name: str, kept: int) -> None:
    tensors = {"a": torch.arange(3000.0)}
    whole = tmp_path / f"whole-{name}"
    save_file(tensors, whole) if name.endswith("rs") else torch.save(tensors, whole)
    (tmp_path / name).write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(UserError, match=f"{name}: damaged"):
        load_state_dict(tmp_path / name)


def test_a_trusted_pickle_is_kept_as_safetensors(server: Server, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 1), tmp_path / "module.pth")
    store = store_of(entry(server), tmp_path)
    plain = store.add("toy", tmp_path / "module.pth")
    with pytest.raises(UserError, match="trust-pickle"):
        load_state_dict(plain)
    converted = store.add("toy", tmp_path / "module.pth", trust_pickle=True)
    assert sorted(load_state_dict(converted)) == ["bias", "weight"]
    assert json.loads((converted.parent / ".installed.json").read_text())["w.bin"]["sha256"] == (
        hashlib.sha256(converted.read_bytes()).hexdigest()
    )
