"""Where a file of weights is fetched from: the user's mirror, the hub, its cache, or its URL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from layton_bench.errors import MissingWeightsError
from layton_bench.weights.entries import WeightsEntry, WeightsFile

MIRROR_VARIABLE = "LAYTON_BENCH_MIRROR"
_HUB_URL = re.compile(r"hub://(?P<repo>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<path>.+)")


def address_of(entry: WeightsEntry, file: WeightsFile) -> str:
    """Return the http(s) address of a file.

    A mirror, laid out as an installed root is, comes first; then the hub, then the file's URL.

    Raises:
        MissingWeightsError: the file has no public address.
    """
    if mirror := os.environ.get(MIRROR_VARIABLE):
        return f"{mirror.rstrip('/')}/{entry.name}/{file.path}"
    if match := _HUB_URL.fullmatch(file.url):
        return f"{hub_endpoint()}/{match['repo']}/resolve/{match['revision']}/{match['path']}"
    if not file.url:
        raise unpublished(entry)
    return file.url


def unpublished(entry: WeightsEntry) -> MissingWeightsError:
    """Return what to tell a user who needs weights without a public address."""
    own = f"Install your own file: layton-bench weights add {entry.name} FILE."
    remedy = f"{entry.instead} {own}" if entry.instead else own
    return MissingWeightsError(f"weights '{entry.name}'", "they have no public address", remedy)


def find_in_hub_cache(file: WeightsFile) -> Path | None:
    """Return the file in the cache of the Hugging Face hub (below HF_HOME), if it is there."""
    match = _HUB_URL.fullmatch(file.url)
    if match is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(match["repo"], match["path"], revision=match["revision"])
    return Path(found) if isinstance(found, str) else None


def hub_endpoint() -> str:
    """Return the address of the Hugging Face hub, or of its mirror in ``HF_ENDPOINT``."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_token(url: str) -> str | None:
    """Return the user's hub token if the address is on the hub."""
    if urlsplit(url).netloc != urlsplit(hub_endpoint()).netloc:
        return None
    from huggingface_hub import get_token

    return get_token()


def is_offline() -> bool:
    """Return whether ``LAYTON_BENCH_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids the network."""
    switches = (os.environ.get(name, "") for name in ("LAYTON_BENCH_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in {"1", "true", "yes", "on"} for value in switches)
