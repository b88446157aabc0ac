"""Pictures from prompts: seeds, safe names, metadata, resuming, failures."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lab import Bench
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.models.base import check_prompts
from layton_bench.models.resized import ResizedGenerator
from layton_bench.run.generate import draw, file_name, grid, plan_pictures
from layton_bench.seeds import sample_seed
from layton_bench.types import Prompt


class Painter:
    """Draws noise from the seed alone; refuses the word "bad"."""

    def __init__(self) -> None:
        self.drawn: list[str | None] = []

    def generate(self, prompts, seeds) -> torch.Tensor:
        if any(prompt.text == "bad" for prompt in prompts):
            raise ArithmeticError("no idea")
        self.drawn += [prompt.text for prompt in prompts]
        made = [
            torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(s)) * 2 - 1 for s in seeds
        ]
        return torch.stack(made)


class Choosy(Painter):
    """Knows beforehand what it cannot draw."""

    def check_prompts(self, prompts) -> None:
        for prompt in prompts:
            if prompt.text == "never":
                raise UserError("prompt 'never'", "not this one", "Give another.")
            if prompt.text == "broken":
                raise ArithmeticError("no idea")


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(key=str(i), text=text) for i, text in enumerate(texts)]


def planned(folder: Path, *texts: str, **options: int):
    def path_of(number: int, prompt: Prompt, index: int) -> Path:
        return folder / file_name(number, prompt, index)

    return plan_pictures(prompts(*texts), path_of, **options)


def drawn(folder: Path, painter: Painter, *texts: str, batch_size: int = 2, **options: int):
    pictures = planned(folder, *texts, **options)
    return draw(painter, pictures, model_name="m", size_px=8, batch_size=batch_size)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red cube", "00003-a-red-cube-01.png"),
        ("../../etc/passwd\0\n", "00003-etc-passwd-01.png"),
        ("日本", "00003-prompt-01.png"),
        ("x" * 500, f"00003-{'x' * 60}-01.png"),
    ],
)
def test_names_are_safe_whatever_the_prompt(text: str, expected: str) -> None:
    assert file_name(3, Prompt(key="k", text=text), 1) == expected


def test_a_class_is_named_by_its_number() -> None:
    assert file_name(0, Prompt(key="k", class_id=207), 0) == "00000-class-207-00.png"


def test_a_seed_depends_on_prompt_number_and_user_seed_alone(tmp_path: Path) -> None:
    alone = planned(tmp_path, "b", images_per_prompt=2, seed=5)
    among = planned(tmp_path, "a", "b", images_per_prompt=2, seed=5)
    assert [p.seed for p in alone] == [p.seed for p in among[2:]]
    assert alone[1].seed == sample_seed("generate", "b", user_seed=5, repeat=1)
    assert len({p.seed for p in among}) == 4


def test_a_picture_does_not_depend_on_the_batch_and_says_what_it_is(tmp_path: Path) -> None:
    one = drawn(tmp_path / "1", Painter(), "a", "b", "c", batch_size=1)
    three = drawn(tmp_path / "3", Painter(), "a", "b", "c", batch_size=3)
    for first, second in zip(one.paths, three.paths, strict=True):
        assert first.name == second.name
        np.testing.assert_array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))
    with Image.open(one.paths[1]) as image:
        assert image.info["prompt"] == "b"
        assert image.info["model"] == "m"
        assert image.info["seed"] == str(planned(tmp_path, "a", "b", "c")[1].seed)


def test_what_is_there_is_not_drawn_again(tmp_path: Path) -> None:
    drawn(tmp_path, Painter(), "a", "b")
    painter = Painter()
    again = drawn(tmp_path, painter, "a", "b", "c")
    assert (painter.drawn, again.num_found, len(again.paths)) == (["c"], 2, 3)
    # another prompt under the same number is another picture
    other = Painter()
    drawn(tmp_path, other, "a!", "b", "c")
    assert other.drawn == ["a!"]
    # a file cut short is drawn again
    again.paths[0].write_bytes(again.paths[0].read_bytes()[:20])
    third = Painter()
    drawn(tmp_path, third, "a!", "b")
    assert third.drawn == ["a!"]


def test_a_failure_costs_its_own_picture(tmp_path: Path) -> None:
    done = drawn(tmp_path, Painter(), "a", "bad", "c", batch_size=3)
    assert [path.name for path in done.paths] == ["00000-a-00.png", "00002-c-00.png"]
    (failure,) = done.failures
    assert (Path(failure.key).name, failure.stage) == ("00001-bad-00.png", "generate")
    assert failure.reason == "ArithmeticError: no idea"
    assert not list(tmp_path.glob("*.partial"))


def test_a_grid_puts_pictures_in_reading_order() -> None:
    tiles = [Image.new("RGB", (2, 2), (i, i, i)) for i in (10, 20, 30)]
    sheet = np.asarray(grid(tiles))
    assert sheet.shape == (4, 4, 3)
    assert [sheet[0, 0, 0], sheet[0, 2, 0], sheet[2, 0, 0], sheet[2, 2, 0]] == [10, 20, 30, 255]
    with pytest.raises(ValueError, match="at least one"):
        grid([])


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


@pytest.mark.parametrize(("text", "told"), [("never", "not this one"), ("broken", "no idea")])
def test_prompts_are_checked_before_any_is_drawn(tmp_path: Path, text: str, told: str) -> None:
    painter = Choosy()
    with pytest.raises(UserError, match=told):
        drawn(tmp_path, painter, "a", "b", text)
    with pytest.raises(UserError, match=told):
        check_prompts(ResizedGenerator(painter, 8), prompts("a", text))
    assert painter.drawn == []
    drawn(tmp_path, painter, "a")
    assert painter.drawn == ["a"]
    # a picture that is there is not asked about again
    drawn(tmp_path, painter, "a", "b")
    assert painter.drawn == ["a", "b"]
