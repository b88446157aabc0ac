"""Every registered file has a sound address, digest and size, whoever registers it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import lpips
import pytest
import torchmetrics

from layton_bench.registry import Plugins
from layton_bench.weights import WEIGHTS, WeightsEntry, entry_name

ENTRIES = Plugins().weights.entries.values()
BY_NAME: dict[str, WeightsEntry] = {entry.name: entry for entry in WEIGHTS}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_is_well_made(entry: WeightsEntry) -> None:
    for file in entry.files:
        assert not file.url or re.match(r"https://|hub://[^/]+/[^/]+/[^/]+/.", file.url)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{8,64}", file.sha256)
        assert file.size_bytes is None or file.size_bytes > 0
        # torch hub's names end in the first digits of the digest
        named = re.search(r"-([0-9a-f]{8})\.\w+$", file.path)
        if named and file.sha256:
            assert file.sha256.startswith(named[1])
    assert entry.licence and entry.summary


def test_most_bytes_of_the_built_in_metrics_are_pinned() -> None:
    pinned = [f for e in ENTRIES for f in e.files if len(f.sha256 or "") == 64]
    assert len(pinned) >= 40


LPIPS_WEIGHTS = Path(lpips.__file__).parent / "weights"


@pytest.mark.parametrize("version", ["0.0", "0.1"])
@pytest.mark.parametrize("network", ["alex", "squeeze", "vgg"])
def test_the_digests_of_lpips_are_those_of_its_package(version: str, network: str) -> None:
    data = (LPIPS_WEIGHTS / f"v{version}" / f"{network}.pth").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    file = BY_NAME[entry_name(f"LPIPS_v{version}_{network}-{digest[:8]}.pth")].files[0]
    assert (file.sha256, file.size_bytes) == (digest, len(data))


def test_the_digest_of_dists_is_that_of_torchmetrics_copy() -> None:
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "dists_models"
    data = (folder / "weights.pt").read_bytes()
    (file,) = BY_NAME["dists"].files
    assert (file.sha256, file.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
