"""Installing, finding and verifying weights."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest
import torch
from weights_server import CONTENT, SHA256, Server, entry, store_of

from layton_bench.errors import MissingWeightsError, UnknownNameError, UserError
from layton_bench.weights import WeightsEntry, WeightsFile, WeightsStore
from layton_bench.weights.checkpoint import load_state_dict
from layton_bench.weights.store import weights_root


def test_pull_installs_what_was_served(server: Server, tmp_path: Path) -> None:
    store = store_of(entry(server, sha256=SHA256), tmp_path)
    assert not store.is_installed("toy")
    steps: list[tuple[str, int, int | None]] = []
    path = store.pull("toy", lambda *step: steps.append(step))
    assert path.read_bytes() == CONTENT
    assert store.is_installed("toy") and store.find("toy") == path
    assert store.digest("toy") == SHA256
    assert steps[-1] == ("w.dat", len(CONTENT), len(CONTENT))
    assert [f.name for f in path.parent.iterdir() if f.name.startswith("w.dat")] == ["w.dat"]
    assert store.pull("toy") == path and len(server.seen) == 1  # there already: nothing asked


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


def test_several_files_are_one_folder_and_are_not_fetched_twice(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layton_bench.weights.download.time.sleep", lambda seconds: None)
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
    with pytest.raises(MissingWeightsError, match=f"expected {SHA256}"):
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


def test_the_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAYTON_BENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert weights_root() == tmp_path / "hf" / "layton-bench" / "weights"
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "own"))
    assert weights_root() == tmp_path / "own"


def test_a_trusted_pickle_is_kept_as_safetensors(server: Server, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 1), tmp_path / "module.pth")
    store = store_of(entry(server), tmp_path)
    plain = store.add("toy", tmp_path / "module.pth")
    with pytest.raises(UserError, match="trust-pickle"):
        load_state_dict(plain)
    converted = store.add("toy", tmp_path / "module.pth", trust_pickle=True)
    assert sorted(load_state_dict(converted)) == ["bias", "weight"]
    assert json.loads((converted.parent / ".installed.json").read_text())["w.dat"]["sha256"] == (
        hashlib.sha256(converted.read_bytes()).hexdigest()
    )


def test_the_users_own_weights_are_told_from_published_ones(server: Server, tmp_path: Path) -> None:
    (tmp_path / "published").write_bytes(CONTENT)
    (tmp_path / "mine").write_bytes(CONTENT[::-1])
    known = store_of(entry(server, sha256=SHA256), tmp_path / "known")
    known.add("toy", tmp_path / "published", may_be_own=True)
    assert not known.is_own("toy")
    with pytest.raises(MissingWeightsError, match="expected"):
        known.add("toy", tmp_path / "mine")
    assert known.digest("toy") == SHA256
    known.add("toy", tmp_path / "mine", may_be_own=True)
    assert known.is_own("toy") and known.digest("toy") != SHA256
    assert known.verify("toy").is_own and known.statuses()[0].is_own
    # pull brings the published ones back
    known.pull("toy")
    assert not known.is_own("toy") and known.digest("toy") == SHA256


def test_without_a_published_digest_added_files_are_the_users_own(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    store = store_of(entry(server), tmp_path)
    store.add("toy", tmp_path / "mine")
    assert store.is_own("toy")
    store.pull("toy")  # the user's own digest is not expected of it
    assert not store.is_own("toy") and store.digest("toy") == SHA256


def test_a_manifest_of_an_older_version_says_nothing_of_own_weights(
    server: Server, tmp_path: Path
) -> None:
    store = store_of(entry(server), tmp_path)
    path = store.pull("toy")
    manifest = path.parent / ".installed.json"
    records = json.loads(manifest.read_text())
    del records["w.dat"]["is_own"]
    manifest.write_text(json.dumps(records))
    assert store.is_installed("toy") and not store.is_own("toy")


def test_a_web_page_is_not_added(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("<html>404</html>")
    with pytest.raises(MissingWeightsError, match="a web page"):
        store_of(entry(server), tmp_path).add("toy", tmp_path / "mine")


@pytest.mark.parametrize("root", ["/proc/none/weights", "/dev/null/weights"])
def test_a_folder_that_cannot_be_written_is_named(
    server: Server, tmp_path: Path, root: str
) -> None:
    (tmp_path / "mine").write_bytes(CONTENT)
    item = entry(server)
    store = WeightsStore({item.name: item}, Path(root))
    assert not store.is_installed("toy") and not store.statuses()[0].is_installed
    for work in (lambda: store.pull("toy"), lambda: store.add("toy", tmp_path / "mine")):
        with pytest.raises(UserError, match=r"folder of weights /.*Set LAYTON_BENCH_WEIGHTS"):
            work()


def test_what_an_entry_needs_is_pulled_with_it(tmp_path: Path) -> None:
    def of(name: str, *needs: str) -> WeightsEntry:
        file = WeightsFile(path="w", url="https://example.org/w")
        return WeightsEntry(name=name, files=(file,), licence="MIT", needs=needs)

    entries = [of("gen", "tok", "text"), of("tok", "base"), of("text"), of("base", "tok")]
    store = WeightsStore({e.name: e for e in entries}, tmp_path)
    assert store.with_needs(["gen"]) == ["gen", "tok", "base", "text"]
    assert store.with_needs(["base", "gen", "base"]) == ["base", "tok", "gen", "text"]
    with pytest.raises(UnknownNameError):
        store.with_needs(["gone"])


def test_weights_that_are_not_published_lead_to_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = WeightsFile(path="w.pth", url="")
    item = WeightsEntry(name="toy", files=(file,), licence="MIT", instead="Use toy-2.")
    store = store_of(item, tmp_path)
    for ask in (store.find, store.pull):  # no message sends from one command to the other
        monkeypatch.delenv("LAYTON_BENCH_OFFLINE", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        with pytest.raises(MissingWeightsError, match="no public address") as raised:
            ask("toy")
        assert raised.value.remedy == (
            "Use toy-2. Install your own file: layton-bench weights add toy FILE."
        )
    monkeypatch.setenv("LAYTON_BENCH_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(MissingWeightsError, match="weights pull toy"):
        store.find("toy")


def test_an_added_file_is_checked_first(tmp_path: Path) -> None:
    checked: list[Path] = []

    def check(path: Path) -> None:
        checked.append(path)
        if path.name == "other.pt":
            raise UserError(str(path), "it is of another network", "Use the right one.")
        if path.name == "broken.pt":
            raise KeyError("weight")

    item = WeightsEntry(
        name="toy", files=(WeightsFile(path="w.pt", url=""),), licence="MIT", check=check
    )
    store = store_of(item, tmp_path)
    for name in ("mine.pt", "other.pt", "broken.pt"):
        torch.save({"weight": torch.zeros(1)}, tmp_path / name)
    assert store.add("toy", tmp_path / "mine.pt").is_file()
    before = store.digest("toy")
    for name, reason in (
        ("other.pt", "it is of another network"),
        ("broken.pt", "it cannot be checked"),
    ):
        with pytest.raises(UserError, match=reason):
            store.add("toy", tmp_path / name, may_be_own=True)
    assert [path.name for path in checked] == ["mine.pt", "other.pt", "broken.pt"]
    assert store.digest("toy") == before
    # a folder that holds the file serves too
    (tmp_path / "folder").mkdir()
    torch.save({"weight": torch.zeros(1)}, tmp_path / "folder/w.pt")
    assert store.add("toy", tmp_path / "folder", may_be_own=True).is_file()
    assert checked[-1] == tmp_path / "folder/w.pt"
