"""`layton-bench generate`."""

import io
import sys
from pathlib import Path

import pytest
from lab import Bench, Site
from PIL import Image


def test_the_command_draws_the_oracles_scenes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a photo of a red circle\n\n"))
    words = ("--model", "scenes-oracle", "--out", "drawn", "--device", "cpu")
    outcome = bench("generate", *words, "a photo of a blue square", "-", "--grid")
    assert outcome.code == 0
    assert outcome.out.split() == [
        "drawn/00000-a-photo-of-a-blue-square-00.png",
        "drawn/00001-a-photo-of-a-red-circle-00.png",
        "drawn/grid.png",
    ]
    for words_given, told in (
        ((), "there is no prompt"),
        (("",), "it is empty"),
        (("--prompts", "none.txt"), "there is no such file"),
    ):
        refused = bench("generate", *words, *words_given)
        assert (refused.code, told in refused.err) == (2, True), refused.err
    assert "it is a tokenizer" in bench("generate", "--model", "identity", "x").err
    sized = bench("generate", "--model", "scenes-oracle@256", "--out", "sized", "a circle")
    assert (sized.code, sized.out.split()) == (0, ["sized/00000-a-circle-00.png"])
    refused = bench("generate", "--model", "scenes-oracle@100", "a circle")
    assert (refused.code, "Use one of scenes-oracle@256" in refused.err) == (2, True)


def test_prompts_on_stdin_are_lines_as_an_editor_has_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "\ufeffa photo of a red\u2028circle\r\n\na photo of a blue square".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    drawn = bench("generate", "--model", "scenes-random", "--out", "drawn", "-")
    assert drawn.out.split() == [
        "drawn/00000-a-photo-of-a-red-circle-00.png",
        "drawn/00001-a-photo-of-a-blue-square-00.png",
    ]
    with Image.open("drawn/00000-a-photo-of-a-red-circle-00.png") as image:
        assert image.info["prompt"] == "a photo of a red\u2028circle"
    monkeypatch.setattr(sys, "stdin", None)
    closed = bench("generate", "--model", "scenes-random", "--out", "none", "-")
    assert (closed.code, "there is no prompt" in closed.err) == (2, True)


def test_another_seed_stands_beside_the_first(bench: Bench) -> None:
    words = ("generate", "--model", "scenes-random", "--out", "drawn", "a cat")
    first, second = bench(*words), bench(*words, "--seed", "5")
    assert second.out.split() == ["drawn/00000-a-cat-seed5-00.png"]
    files = [Path(outcome.out.strip()).read_bytes() for outcome in (first, second)]
    assert files[0] != files[1]


def test_other_settings_are_refused_before_the_model_is_loaded(bench: Bench) -> None:
    words = ("generate", "--out", "drawn", "a photo of a red circle", "--model")
    assert bench(*words, "scenes-oracle").code == 0
    refused = bench(*words, "scenes-random")
    assert (refused.code, refused.out) == (2, "")
    assert "model was scenes-oracle and is now scenes-random" in refused.err
    assert "Name another folder with --out." in refused.err
    folders = ("generate", "--layout", "geneval", "--out", "drawn", "--model", "nothing")
    assert bench(*folders).code == 2
    assert not Path("drawn/00000").exists()  # a wrong name leaves nothing behind


def test_a_file_in_place_of_the_folder(bench: Bench) -> None:
    Path("file").write_text("")
    for layout in ("files", "geneval"):
        words = () if layout == "geneval" else ("a cat",)
        refused = bench(
            "generate", "--model", "scenes-random", "-o", "file", "--layout", layout, *words
        )
        assert (refused.code, "file" in refused.err) == (2, True), refused.err
        assert "Internal error" not in refused.err


PLUGIN = """
from layton_bench import ModelCard, ModelSpec, hookimpl

class Grey:
    def generate(self, prompts, seeds):
        import torch
        return torch.full((len(prompts), 3, 8, 8), {level})

@hookimpl
def layton_bench_register_models(register):
    card = ModelCard(name="greys", kind="generator", family="f", summary="s", sizes_px=(8,))
    register(ModelSpec(card=card, load=lambda context: Grey()))
"""


def test_other_code_of_the_plugin_is_other_settings(bench: Bench, site: Site) -> None:
    words = ("generate", "--model", "greys", "--out", "drawn", "a cat")
    file = site.module("greys_one", PLUGIN.format(level=0.5))
    assert bench("--plugin", file, *words).code == 0
    assert bench("--plugin", file, *words).code == 0
    sys.modules.pop("greys_one", None)
    site.module("greys_one", PLUGIN.format(level=-0.5))
    refused = bench("--plugin", file, *words)
    assert (refused.code, "settings: code was sha256:" in refused.err) == (2, True), refused.err
    assert str(file.parent) not in Path("drawn/generated.json").read_text()  # no private path
