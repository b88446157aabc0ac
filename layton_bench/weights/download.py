"""Fetches one file over HTTP: resumes, retries, verifies, and installs atomically.

The partial file lies beside the target as ``<name>.part`` with the server's validator in
``<name>.part.etag``: a later call goes on where it stopped if the server still has the same file,
and starts over if not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import MissingWeightsError, UserError
from layton_bench.weights.digests import sha256_of

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int | None], None]
"""Told the bytes at hand and the total, None where the server does not say."""

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_TIMEOUT_SECONDS = (10, 60)  # to connect; between two pieces
_LASTING = {401, 403, 404, 410}


class _PassingError(Exception):
    """Something that may be gone at the next attempt."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    token: str | None = None,
    progress: Progress = lambda *_: None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Bring ``url`` to ``target``; returns the SHA-256 of what came.

    Args:
        url: http(s) address.
        target: where the whole, verified file appears, at once or not at all.
        sha256: expected digest, or the first eight or more hex digits of it.
        token: sent as a bearer token to the first host only, never across a redirect to another.
        progress: told how it goes on.
        sleep: waits between attempts (1, 2, 4 s).

    Raises:
        UserError: the address does not have it, or does not answer after four attempts.
        MissingWeightsError: what came is not what was expected; nothing is installed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in range(_ATTEMPTS):
        try:
            _attempt(url, part, token, progress)
            break
        except _PassingError as error:
            if attempt == _ATTEMPTS - 1:
                raise UserError(
                    url,
                    f"no complete answer in {_ATTEMPTS} attempts ({error})",
                    "Try again: what has arrived is kept and the download goes on from there.",
                ) from None
            sleep(2.0**attempt)
    digest = sha256_of(part)
    if sha256 is not None and not digest.startswith(sha256):
        _discard(part)
        raise MissingWeightsError(
            url,
            f"its SHA-256 is {digest}, expected {sha256}",
            "Nothing was installed. Check the address or the mirror.",
        )
    _etag_file(part).unlink(missing_ok=True)
    part.replace(target)
    return digest


def _attempt(url: str, part: Path, token: str | None, progress: Progress) -> None:
    """One request, appended to what is there; raises _PassingError if it ends early."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    try:
        with requests.get(
            url, headers=_headers(part, have, token), stream=True, timeout=_TIMEOUT_SECONDS
        ) as answer:
            start = _check(answer, url, part, have)
            _copy(answer, part, start, progress)
    except requests.RequestException as error:
        raise _PassingError(f"{type(error).__name__}: {error}") from error


def _headers(part: Path, have: int, token: str | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    etag = _etag_file(part)
    if have and etag.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": etag.read_text("ascii")}
    return headers


def _check(answer: requests.Response, url: str, part: Path, have: int) -> int:
    """Where in the file the body belongs; raises on anything but 200 and 206."""
    if answer.status_code in _LASTING:
        reason = f"the server answers {answer.status_code} {answer.reason}"
        remedy = "Check the address; files behind a licence need an accepted licence and a token."
        raise UserError(url, reason, remedy)
    if answer.status_code == 416:  # more at hand than the file has: not the same file
        _discard(part)
        raise _PassingError("416 for the range asked")
    if answer.status_code not in (200, 206):
        raise _PassingError(f"{answer.status_code} {answer.reason}")
    if answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    ):
        return have
    _discard(part)
    validator = answer.headers.get("ETag", "")
    if validator and not validator.startswith("W/"):
        _etag_file(part).write_text(validator, "ascii")
    return 0


def _copy(answer: requests.Response, part: Path, start: int, progress: Progress) -> None:
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length is not None else None
    done = start
    with part.open("ab") as stream:
        for piece in answer.iter_content(_CHUNK_BYTES):
            stream.write(piece)
            done += len(piece)
            progress(done, total)
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and done < total:
        raise _PassingError(f"{done} of {total} bytes arrived")


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)
