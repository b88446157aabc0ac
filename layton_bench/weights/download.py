"""Fetches one file over HTTP: resumes, retries, verifies, and installs it whole or not at all.

The server is not trusted. It may answer with a web page, with another part of the file, with more
bytes than the file has, or send the request to an address without encryption.

The partial file is beside the target as ``<name>.part``, and the server's validator is in
``<name>.part.etag``. A later call continues there if the server still has the same file, and
starts again if not.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from layton_bench.errors import UserError, shown
from layton_bench.weights.checks import checked_digest

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far, and the total or None if the server does not say."""

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_TIMEOUT_SECONDS = (10, 60)  # to connect; between two pieces
_MAX_REDIRECTS = 10
_MAX_WAIT_SECONDS = 300.0
_MAX_BYTES = 64 << 30
"""Size at which a download stops if the size of the file is not known."""

_PASSING = {408, 416, 425, 429}
"""Errors of the 4xx kind that may be gone at the next attempt."""

_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+|\*)")
_SECRETS = re.compile(r"(?<=//)[^/@\s]+@|(?<=\?)[^\s'\")]+")


class _PassingError(Exception):
    """A failure that may be gone at the next attempt, perhaps after ``wait`` seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    token: str | None = None,
    progress: Progress = lambda *_: None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Bring ``url`` to ``target`` and return its SHA-256.

    Args:
        url: http(s) address.
        target: the whole, verified file.
        sha256: expected digest, or its first eight or more hex digits.
        size_bytes: expected size; a file that is more than 5 % larger is refused.
        token: sent as a bearer token to the first host only, also after a redirect.
        progress: called after each piece.
        sleep: waits between attempts: 1, 2 and 4 s, or as long as the server asks.

    Raises:
        UserError: the address does not have the file, or does not answer after four attempts.
        MissingWeightsError: it is not the expected file; nothing is installed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    limit = _MAX_BYTES if size_bytes is None else size_bytes * 21 // 20 + (1 << 20)
    for attempt in range(_ATTEMPTS):
        try:
            _attempt(url, part, token, limit, progress)
            break
        except _PassingError as error:
            wait = 2.0**attempt if error.wait is None else error.wait
            if attempt == _ATTEMPTS - 1 or wait > _MAX_WAIT_SECONDS:
                raise _given_up(url, attempt + 1, error) from None
            sleep(wait)
    try:
        digest = checked_digest(
            part, name=target.name, source=shown_url(url), sha256=sha256,
            remedy="Nothing was installed. Check the address or the mirror.",
        )  # fmt: skip
    except UserError:
        _discard(part)
        raise
    _etag_file(part).unlink(missing_ok=True)
    part.replace(target)
    return digest


def shown_url(url: str) -> str:
    """Return an address as messages may show it: without credentials and query."""
    return shown(_SECRETS.sub("…", url))


def _given_up(url: str, attempts: int, error: _PassingError) -> UserError:
    reason = f"no complete answer in {attempts} attempt{'s' if attempts > 1 else ''} ({error})"
    remedy = "Try again later: the download continues with the bytes that have arrived."
    return UserError(shown_url(url), reason, remedy)


def _attempt(url: str, part: Path, token: str | None, limit: int, progress: Progress) -> None:
    """Make one request and append its answer to the part; raises _PassingError on failure."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    try:
        with _answer(url, _headers(part, have), token) as answer:
            start, total = _check(answer, url, part, have)
            if total is not None and total > limit:
                _discard(part)
                raise _too_large(url, total, limit)
            _copy(answer, url, part, start, total, limit, progress)
    except requests.RequestException as error:
        reason = f"{type(error).__name__}: {_SECRETS.sub('…', str(error))}"
        raise _PassingError(shown(reason.replace(token, "…") if token else reason)) from error


@contextmanager
def _answer(url: str, headers: dict[str, str], token: str | None) -> Iterator[requests.Response]:
    """Follow redirects to the final answer; never from https to http, never with the token."""
    import requests

    where = url
    for _ in range(_MAX_REDIRECTS + 1):
        own = (
            {"Authorization": f"Bearer {token}"} if token and _origin(where) == _origin(url) else {}
        )
        with requests.get(
            where, headers=headers | own, stream=True, timeout=_TIMEOUT_SECONDS,
            allow_redirects=False,
        ) as answer:  # fmt: skip
            if not answer.is_redirect:
                yield answer
                return
            onward = urljoin(where, answer.headers["Location"])
        scheme = urlsplit(onward).scheme.lower()
        if scheme != "https" and scheme != urlsplit(where).scheme.lower():
            reason = f"it redirects to {shown_url(onward)}, which is not encrypted"
            raise UserError(shown_url(url), reason, "Check the address or the mirror.")
        where = onward
    reason = f"it redirects more than {_MAX_REDIRECTS} times"
    raise UserError(shown_url(url), reason, "Check the address or the mirror.")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def _headers(part: Path, have: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    etag = _etag_file(part)
    if have and etag.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": etag.read_text("ascii")}
    return headers


def _check(answer: requests.Response, url: str, part: Path, have: int) -> tuple[int, int | None]:
    """Return where in the file the body belongs, and the size of the file if the server says it.

    Raises:
        UserError: an answer that another attempt does not change.
        _PassingError: an answer that the next attempt may change.
    """
    status, headers = answer.status_code, answer.headers
    if 400 <= status < 500 and status not in _PASSING:
        reason = f"the server answers {status} {shown(answer.reason or '')}".rstrip()
        remedy = "Check the address; files behind a licence need an accepted licence and a token."
        raise UserError(shown_url(url), reason, remedy)
    if status == 416:  # the part has more bytes than the file: it is another file
        _discard(part)
        raise _PassingError("416 for the range asked")
    if status not in (200, 206):
        reason = f"{status} {shown(answer.reason or '')}".rstrip()
        raise _PassingError(reason, _seconds_to_wait(headers.get("Retry-After")))
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        _discard(part)
        raise _PassingError("the answer is compressed")
    length = headers.get("Content-Length", "")
    body = int(length) if length.isdecimal() else None
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found["first"]) != have or not have:
            _discard(part)
            raise _PassingError("it answers with another part of the file")
        if found["total"].isdecimal():
            return have, int(found["total"])
        return have, None if body is None else have + body
    _discard(part)
    _refuse_page(headers.get("Content-Type", ""), url)
    _keep_validator(headers.get("ETag", ""), part)
    return 0, body


def _refuse_page(content_type: str, url: str) -> None:
    """Raise UserError for a web page: of a login, a licence or an error with status 200."""
    if content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
        remedy = "Open the address in a browser: it may ask for a login or a licence."
        raise UserError(shown_url(url), "the server answers with a web page", remedy)


def _keep_validator(etag: str, part: Path) -> None:
    is_strong = etag.startswith('"') and etag.isascii() and etag.isprintable() and len(etag) < 1000
    if is_strong:
        _etag_file(part).write_text(etag, "ascii")


def _seconds_to_wait(retry_after: str | None) -> float | None:
    """Return how long a server asks to wait: a number of seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _copy(
    answer: requests.Response, url: str, part: Path, start: int, total: int | None, limit: int,
    progress: Progress,
) -> None:  # fmt: skip
    done, most = start, limit if total is None else total
    with part.open("ab") as stream:
        for piece in answer.iter_content(_CHUNK_BYTES):
            done += len(piece)
            if done > most:
                break
            stream.write(piece)
            progress(done, total)
        stream.flush()
        os.fsync(stream.fileno())
    if done > most:
        _discard(part)
        raise _too_large(url, done, most)
    if total is not None and done < total:
        raise _PassingError(f"{done} of {total} bytes arrived")


def _too_large(url: str, size: int, limit: int) -> UserError:
    reason = f"it sends {size:,} bytes or more; at most {limit:,} were expected"
    return UserError(shown_url(url), reason, "Check the address or the mirror.")


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)
