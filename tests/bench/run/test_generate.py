"""Pictures from prompts: seeds, safe names, metadata, resuming, failures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.models.base import check_prompts
from layton_bench.models.resized import ResizedGenerator
from layton_bench.run.generate import Artist, draw, plan_pictures
from layton_bench.run.picture_files import file_name
from layton_bench.seeds import sample_seed
from layton_bench.types import Prompt

SETTINGS = {"model": "m", "options": {"steps": 4}, "dtype": "float32", "weights": {}}


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
    artist = Artist(load=lambda: painter, size_px=8, settings=SETTINGS)
    return draw(artist, pictures, folder, batch_size=batch_size)


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
    # a file cut short is drawn again, wherever it was cut
    whole = again.paths[0].read_bytes()
    for damaged in (whole[:20], whole[: len(whole) // 2], whole[:-12], b""):
        again.paths[0].write_bytes(damaged)
        third = Painter()
        drawn(tmp_path, third, "a", "b")
        assert third.drawn == ["a"]
        assert again.paths[0].read_bytes() == whole


def test_a_failure_costs_its_own_picture(tmp_path: Path) -> None:
    done = drawn(tmp_path, Painter(), "a", "bad", "c", batch_size=3)
    assert [path.name for path in done.paths] == ["00000-a-00.png", "00002-c-00.png"]
    (failure,) = done.failures
    assert (Path(failure.key).name, failure.stage) == ("00001-bad-00.png", "generate")
    assert failure.reason == "ArithmeticError: no idea"
    assert not list(tmp_path.glob("*.partial"))


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


def test_a_generator_is_not_loaded_for_pictures_that_exist(tmp_path: Path) -> None:
    made = drawn(tmp_path, Painter(), "a", "b")

    def load() -> Painter:
        raise AssertionError

    artist = Artist(load=load, size_px=8, settings=SETTINGS)
    again = draw(artist, planned(tmp_path, "a", "b"), tmp_path, batch_size=2)
    assert (again.paths, again.num_found) == (made.paths, 2)


def test_a_folder_of_failures_may_be_used_with_other_settings(tmp_path: Path) -> None:
    drawn(tmp_path, Painter(), "bad")
    artist = Artist(load=Painter, size_px=8, settings={**SETTINGS, "dtype": "bfloat16"})
    assert draw(artist, planned(tmp_path, "a"), tmp_path, batch_size=1).num_found == 0
    assert (tmp_path / "generated.json").is_file()
