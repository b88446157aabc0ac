"""A server of files on the loopback interface, and a store that pulls from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from layton_bench.weights import WeightsEntry, WeightsFile, WeightsStore

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``script`` holds what to do at the next requests instead of answering.

    A number is a status, a function answers by itself, and a word is a fault of ``do_GET``.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/w.dat": CONTENT}
        self.etag = '"one"'
        self.script: list[str | int | Callable[[Handler], None]] = []
        self.seen: list[tuple[str, str | None]] = []
        self.tokens: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range")))
        self.server.tokens.append(self.headers.get("Authorization"))
        action = self.server.script.pop(0) if self.server.script else "serve"
        if callable(action):
            action(self)
            return
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

    def answer(self, status: int, body: bytes, **headers: object) -> None:
        """Answer with these headers, ``Content_Length`` written with an underscore and so on."""
        self.send_response(status)
        told = {"Content_Length": len(body)} | headers
        for name, value in told.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


def entry(server: Server, **changes: object) -> WeightsEntry:
    file = WeightsFile(path="w.dat", url=f"{server.url}/w.dat", **changes)  # type: ignore[arg-type]
    return WeightsEntry(name="toy", files=(file,), licence="MIT", used_by=("nothing",))


def store_of(item: WeightsEntry, tmp_path: Path) -> WeightsStore:
    return WeightsStore({item.name: item}, tmp_path / "weights")
