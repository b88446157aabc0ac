"""What a declaration may say, and what follows from it."""

import json
import sys
import textwrap
from pathlib import Path

import pytest
from external_support import CHILDREN, DARK, declare, load, spec_of
from lab import Bench

from layton_bench.errors import ModelOutputError, UserError


def test_a_declaration_is_listed_without_a_start(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left
) -> None:
    declared = declare(tmp_path, "listed", "no-such-program-anywhere")
    outcome = bench("--plugin", declared, "list", "models", "--json")
    rows = {row["model"]: row for row in json.loads(outcome.out)}
    assert rows["listed"]["summary"] == "a child"
    monkeypatch.setenv("LAYTON_BENCH_PLUGINS", str(declared))
    again = bench("--plugin", declared.name, "list", "models", "--json")  # named twice
    assert json.loads(again.out) == json.loads(outcome.out)
    failed = bench("--plugin", declared, "run", "--suite", "photos-256", "--model", "listed")
    assert failed.code == 2
    assert "there is no program 'no-such-program-anywhere'" in failed.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command = []", "command: Tuple should have at least 1 item"),
        ("comand = ['x']", "comand: Extra inputs"),
        ("limits.silence_seconds = -1", "limits.silence_seconds: Input should be greater than 0"),
        ("options.deep = [1]", "options.deep"),
        ("card.colour = 'red'", "card: unknown member 'colour'"),
        ("card.kind = 'oracle'", "card: kind"),
        ("card.name = 'My Model'", "'My Model' is not a name"),
        ("card.kind = 'generator'", "a generator needs sizes_px"),
        ("=", "not valid TOML"),
    ],
)
def test_a_bad_declaration_names_its_file_and_field(
    tmp_path: Path, bench: Bench, text: str, message: str
) -> None:
    good = {
        "command": "command = ['python', 'x.py']", "card.name": "card.name = 'm'",
        "card.kind": "card.kind = 'tokenizer'", "card.family": "card.family = 'f'",
        "card.summary": "card.summary = 's'",
    }  # fmt: skip
    good[text.partition(" ")[0]] = text
    path = tmp_path / "bad.toml"
    path.write_text("\n".join(good.values()))
    outcome = bench("--plugin", path, "list", "models")
    assert outcome.code == 2
    assert message in outcome.err
    assert "bad.toml" in outcome.err


def test_paths_are_the_declarations_and_its_files_are_in_the_digest(tmp_path: Path, left) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "child.py").write_text((CHILDREN / "raw.py").read_text())
    (tmp_path / "weights.bin").write_bytes(b"1")
    declared = declare(
        tmp_path, "raw", "bin/python", "child.py", "raw", "none", tmp_path,
        more="files = ['weights.bin']",
    )  # fmt: skip
    assert load(declared).encode(DARK).codes.tolist() == [[0]]
    assert [path.name for path in spec_of(declared).files()] == [
        "raw.toml", "child.py", "weights.bin",
    ]  # fmt: skip
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"files: .*weights\.bin is missing"):
        spec_of(declared).files()


def test_the_child_has_its_own_variables_and_not_our_pythons(
    tmp_path: Path, left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours")
    monkeypatch.setenv("OF_THE_USER", "kept")
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, os, sys
            from layton_bench_child import Array, serve
            class Model:
                def encode(self, images): raise ValueError(json.dumps(FOUND))
                decode = None
            def load(start):
                global FOUND
                FOUND = [os.environ.get(n) for n in ("VIRTUAL_ENV", "OF_THE_USER", "OURS")]
                FOUND += ["/ours" in sys.path, start.device, start.dtype, start.options]
                FOUND += [os.getcwd() == os.path.dirname(os.path.abspath(__file__))]
                return Model()
            serve(load, card={"name": "vars", "kind": "tokenizer"})
            """
        )
    )
    declared = declare(
        tmp_path, "vars", sys.executable, "child.py", more="environment.OURS = '1'\noptions.n = 2"
    )
    with pytest.raises(ModelOutputError) as caught:
        load(declared).encode(DARK)
    told = json.loads(str(caught.value).removeprefix("ValueError: "))
    assert told == [None, "kept", "1", False, "cpu", "float32", {"n": 2}, True]
