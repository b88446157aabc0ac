"""Pictures of ``generate`` as files: names, what they say of themselves, grids."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.run.picture_files import (
    Picture,
    check_folder,
    claim_folder,
    file_name,
    grid,
    is_drawn,
    save_png,
    write_grid,
)
from layton_bench.types import Prompt

SETTINGS = {"model": "m", "options": {"steps": 4}, "dtype": "float32", "weights": {"files": "ab"}}


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


def test_another_seed_has_another_name() -> None:
    prompt = Prompt(key="k", text="a cat")
    assert file_name(0, prompt, 0, seed=7) == "00000-a-cat-seed7-00.png"
    assert file_name(0, prompt, 0, seed=-7) == "00000-a-cat-seed-7-00.png"
    assert file_name(0, prompt, 0, seed=0) == "00000-a-cat-00.png"


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    made = Picture(
        prompt=Prompt(key="0", text="a cat"), index=1, seed=99, path=tmp_path / "x" / "a.png"
    )
    save_png(made, Image.new("RGB", (4, 4), "red"), SETTINGS)
    return made


def test_a_picture_says_what_determined_it(picture: Picture) -> None:
    with Image.open(picture.path) as image:
        info = image.info
    assert (info["prompt"], info["model"], info["seed"], info["image"]) == ("a cat", "m", "99", "1")
    assert json.loads(info["settings"]) == SETTINGS
    assert is_drawn(picture, SETTINGS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompt": Prompt(key="0", text="a cat!")}, "another prompt"),
        ({"seed": 98}, "another seed"),
        ({"index": 2}, "another image"),
        ({"settings": {**SETTINGS, "model": "n"}}, "another model"),
        ({"settings": {**SETTINGS, "options": {"steps": 8}}}, "another settings"),
        ({"settings": {**SETTINGS, "dtype": "bfloat16"}}, "another settings"),
        ({"settings": {**SETTINGS, "weights": {"files": "cd"}}}, "another settings"),
    ],
)
def test_another_picture_of_that_name_is_neither_kept_nor_lost(
    picture: Picture, change: dict, named: str
) -> None:
    before = picture.path.read_bytes()
    settings = change.pop("settings", SETTINGS)
    fields = {name: getattr(picture, name) for name in ("prompt", "index", "seed", "path")}
    with pytest.raises(UserError, match=named):
        is_drawn(Picture(**{**fields, **change}), settings)
    assert picture.path.read_bytes() == before


def test_a_picture_of_somebody_else_is_not_replaced(picture: Picture) -> None:
    Image.new("RGB", (4, 4)).save(picture.path)
    with pytest.raises(UserError, match="another prompt"):
        is_drawn(picture, SETTINGS)


def test_a_damaged_picture_counts_as_missing(picture: Picture) -> None:
    whole = picture.path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"IDAT") + 6] ^= 1
    for damaged in (b"", whole[:30], whole[:-13], whole[:-12], bytes(flipped), b"%!PS-Adobe"):
        picture.path.write_bytes(damaged)
        assert not is_drawn(picture, SETTINGS)


def test_a_folder_says_what_drew_its_pictures_and_refuses_to_mix(tmp_path: Path) -> None:
    check_folder(tmp_path, SETTINGS)
    claim_folder(tmp_path, SETTINGS)
    check_folder(tmp_path, SETTINGS)
    other = {**SETTINGS, "options": {"steps": 8, "cfg": 2.0}, "weights": {}}
    with pytest.raises(UserError) as caught:
        check_folder(tmp_path, other)
    assert caught.value.reason == (
        "its pictures were drawn with other settings: options.cfg was not set and is now 2.0;"
        " options.steps was 4 and is now 8; weights.files was ab and is now not set"
    )
    (tmp_path / "generated.json").write_text("[")
    with pytest.raises(UserError, match=r"generated\.json: not valid JSON"):
        check_folder(tmp_path, SETTINGS)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        claim_folder(tmp_path / "file", SETTINGS)


def test_a_grid_puts_pictures_in_reading_order() -> None:
    tiles = [Image.new("RGB", (2, 2), (i, i, i)) for i in (10, 20, 30)]
    sheet = np.asarray(grid(tiles))
    assert sheet.shape == (4, 4, 3)
    assert [sheet[0, 0, 0], sheet[0, 2, 0], sheet[2, 0, 0], sheet[2, 2, 0]] == [10, 20, 30, 255]
    with pytest.raises(ValueError, match="at least one"):
        grid([])


def test_pictures_of_other_sizes_fit_their_cells() -> None:
    wide, high = Image.new("RGB", (4, 2), (9, 9, 9)), Image.new("RGB", (2, 4), (5, 5, 5))
    sheet = np.asarray(grid([wide, high]))
    assert sheet.shape == (4, 8, 3)
    assert sheet[..., 0].tolist() == [
        [255, 255, 255, 255, 255, 5, 5, 255],
        [9, 9, 9, 9, 255, 5, 5, 255],
        [9, 9, 9, 9, 255, 5, 5, 255],
        [255, 255, 255, 255, 255, 5, 5, 255],
    ]


def test_a_large_grid_is_made_smaller() -> None:
    row = grid([Image.new("RGB", (3000, 1500))] * 4, columns=4)
    assert row.size == (8192, 1024)


def test_a_grid_is_written_whole(tmp_path: Path) -> None:
    paths = [tmp_path / f"{level}.png" for level in (10, 20)]
    for path in paths:
        Image.new("RGB", (2, 2), (int(path.stem),) * 3).save(path)
    write_grid(paths, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as sheet:
        assert (sheet.size, sheet.getpixel((3, 0))) == ((4, 2), (20, 20, 20))
    assert not list(tmp_path.glob(".tmp*"))
