"""The command line end to end, in process: files in, files out, and messages for mistakes."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from layton.cli import main
from layton.files import read_image


def test_encode_then_decode_equals_roundtrip(layton, model, photos, tmp_path, tiny_tokenizer):
    npz = tmp_path / "out/codes.npz"
    code, out, _ = layton("encode", photos, "-o", npz, "--model", model, "--batch-size", 2)
    assert code == 0
    assert "the codes of 3 images to " in out and "(16 per image)" in out
    with np.load(npz) as file:
        assert file["names"].tolist() == ["a-1", "b", "a-2"]
        assert file["codes"].dtype == np.uint16
        expected = tiny_tokenizer.encode(read_image(photos / "b.jpg", 64)[None])
        assert file["codes"][1].tolist() == expected[0].tolist()

    arguments = ["--model", model, "--steps", 1, "--seed", 5]
    assert layton("decode", npz, "-o", tmp_path / "decoded", *arguments)[0] == 0
    code, out, _ = layton("roundtrip", photos, "-o", tmp_path / "through", *arguments)
    assert code == 0
    assert (
        "Wrote 3 reconstructions to " in out and "(10 bytes per image)" in out
    )  # 16 codes of 5 bits
    names = ["a-1.png", "a-2.png", "b.png"]
    for folder in ("decoded", "through"):
        assert sorted(p.name for p in (tmp_path / folder).iterdir()) == names
    for name in names:
        first, second = (
            np.asarray(Image.open(tmp_path / f / name)) for f in ("decoded", "through")
        )
        assert np.abs(first.astype(int) - second).max() <= 1
    # image i is decoded with seed + i, whatever the batch
    codes = torch.from_numpy(np.load(npz)["codes"].astype(np.int64))
    expected = tiny_tokenizer.decode(codes[2:], generator=7, steps=1)[0].permute(1, 2, 0)
    got = np.asarray(Image.open(tmp_path / "decoded/a-2.png"))
    assert np.abs(((expected + 1) * 127.5).round().numpy() - got).max() <= 1


def test_images_are_cropped_to_their_centre_and_scaled(tmp_path):
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 20:60] = (255, 0, 128)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", 40)
    assert image.shape == (3, 40, 40)
    assert image[:, 20, 20].tolist() == pytest.approx([1.0, -1.0, 128 / 127.5 - 1], abs=1e-6)
    assert (image == image[:, :1, :1]).all()


def test_mistakes_end_with_a_message_and_status_2(layton, model, photos, tmp_path):
    code, _, err = layton("encode", tmp_path / "absent.png", "-o", tmp_path / "x.npz")
    assert (code, "absent.png: no such file or folder" in err) == (2, True)
    code, _, err = layton(
        "encode", photos / "notes.txt", "-o", tmp_path / "x.npz", "--model", model
    )
    assert (code, "notes.txt: not an image" in err) == (2, True)
    code, _, err = layton("encode", photos, "-o", tmp_path / "x.npz", "--model", "layton-t")
    assert (code, "no file of it is published" in err) == (2, True)
    code, _, err = layton("decode", photos / "a.png", "-o", tmp_path / "y", "--model", model)
    assert (code, "is not a codes file" in err) == (2, True)
    code, _, err = layton("roundtrip", photos, "-o", tmp_path, "--model", model, "--dtype", "int8")
    assert (code, "dtype: int8 is unknown" in err) == (2, True)
    code, _, err = layton("roundtrip", photos, "-o", tmp_path, "--model", model, "--steps", 9)
    assert (code, "9 is not 1 … 8" in err) == (2, True)
    assert layton("encode")[0] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.full((1, 16), 32)}, "the codebook has 0 … 31"),
        ({"codes": np.zeros((1, 7), int)}, "expected (B, N)"),
        ({"codes": np.zeros((1, 16))}, "codes float64"),
        ({"codebook_size": np.array(64)}, "made with a codebook of 64, the model has 32"),
        ({"names": np.array(["a", "b"])}, "for 2 names"),
        ({"names": np.array([{"a": 1}], dtype=object)}, "is not a codes file"),
    ],
)
def test_codes_files_of_others_are_refused(layton, model, tmp_path, change, message):
    content = {"codes": np.zeros((1, 16), int), "names": np.array(["a"])}
    np.savez(tmp_path / "codes.npz", **(content | {"codebook_size": np.array(32)} | change))
    code, _, err = layton(
        "decode", tmp_path / "codes.npz", "-o", tmp_path / "out", "--model", model
    )
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_names_in_a_codes_file_stay_inside_the_folder(layton, model, tmp_path):
    np.savez(
        tmp_path / "codes.npz",
        codes=np.zeros((2, 16), int),
        names=np.array(["../../evil", ".."]),
        codebook_size=np.array(32),
    )
    arguments = ["-o", tmp_path / "deep/out", "--model", model, "--steps", 1]
    assert layton("decode", tmp_path / "codes.npz", *arguments)[0] == 0
    assert sorted(p.name for p in (tmp_path / "deep/out").iterdir()) == [
        "_.._evil.png",
        "image.png",
    ]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_training_without_its_extra_names_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "image.png").write_bytes(b"")
    recipe = tmp_path / "vq.toml"
    recipe.write_text(
        f'phase = "vq"\noutput = "{tmp_path}/out"\nstages = [{{steps = 1, batch_size = 1,'
        f' size_px = 16}}]\ndata.sources = [{{path = "{tmp_path}"}}]\n'
    )
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setattr(sys, "argv", ["layton", "train", str(recipe)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "layton-bench[train]" in capsys.readouterr().err


def test_an_npy_array_is_not_a_codes_file(layton, model, tmp_path):
    np.save(tmp_path / "codes.npy", np.zeros((1, 16), int))
    code, _, err = layton("decode", tmp_path / "codes.npy", "-o", tmp_path / "x", "--model", model)
    assert (code, "codes.npy: is not a codes file (it is a single array" in err) == (2, True)
    assert "Make one with `layton encode`." in err


@pytest.mark.parametrize("name", ["codes", "codes.npz", "codes.of.today"])
def test_the_codes_file_has_the_name_that_was_given(layton, model, photos, tmp_path, name):
    code, out, _ = layton("encode", photos, "-o", tmp_path / "new" / name, "--model", model)
    assert (code, f"to {tmp_path / 'new' / name} (" in out) == (0, True)
    assert [p.name for p in (tmp_path / "new").iterdir()] == [name]
    decode = ("decode", tmp_path / "new" / name, "-o", tmp_path / "out", "--model", model)
    assert layton(*decode, "--steps", 1)[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_folder_is_refused_as_codes_file(layton, model, photos, tmp_path):
    code, _, err = layton("encode", photos, "-o", tmp_path, "--model", model)
    assert (code, f"{tmp_path}: is a folder." in err) == (2, True)
    assert f"{tmp_path}/codes.npz" in err
    code, _, err = layton("decode", tmp_path, "-o", tmp_path / "x", "--model", model)
    assert (code, "is not a codes file (it is a folder)" in err) == (2, True)


def test_names_that_collide_after_numbering_keep_every_picture(layton, model, tmp_path):
    for level, path in enumerate(("x/a.png", "y/a.png", "z/a-1.png", "v/A.png")):
        (tmp_path / path).parent.mkdir()
        Image.fromarray(np.full((64, 64, 3), 60 * level, np.uint8)).save(tmp_path / path)
    arguments = [tmp_path / folder for folder in "xyzv"]
    out = tmp_path / "out"
    assert layton("roundtrip", *arguments, "-o", out, "--model", model, "--steps", 1)[0] == 0
    assert sorted(p.name for p in out.iterdir()) == ["A-4.png", "a-1.png", "a-2.png", "a-3.png"]


def test_pictures_that_are_read_are_not_overwritten(layton, model, photos):
    before = (photos / "b.jpg").read_bytes(), (photos / "more/a.png").read_bytes()
    more = photos / "more"
    code, _, err = layton("roundtrip", more, "-o", more, "--model", model, "--steps", 1)
    assert (code, "a.png: is an input and an output" in err) == (2, True)
    code, _, err = layton("encode", photos / "b.jpg", "-o", photos / "b.jpg", "--model", model)
    assert (code, "b.jpg: is an input and an output" in err) == (2, True)
    assert before == ((photos / "b.jpg").read_bytes(), (more / "a.png").read_bytes())


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "device cuda: torch finds no such GPU here."),
        ("mps", "device mps: torch finds no such GPU here."),
        ("tpu", "device tpu: there is no such device."),
        ("meta", "device meta: is not supported."),
        ("cpu:3", "device cpu:3: torch finds 1 device of this kind."),
    ],
)
def test_devices_that_are_not_there(layton, model, photos, tmp_path, monkeypatch, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    arguments = ["-o", tmp_path / "x.npz", "--model", model, "--device", device]
    code, _, err = layton("encode", photos, *arguments)
    assert (code, message in err) == (2, True)
    assert not (tmp_path / "x.npz").exists()


def test_the_automatic_device_without_a_gpu_is_the_cpu(
    layton, model, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("auto", "cpu"):
        arguments = ["-o", tmp_path / name, "--model", model, "--device", name]
        assert layton("encode", photos, *arguments)[0] == 0
    first, second = (np.load(tmp_path / name)["codes"] for name in ("auto", "cpu"))
    assert (first == second).all()


def test_seeds_have_bounds(layton, model, photos, tmp_path):
    arguments = ["roundtrip", photos, "-o", tmp_path / "x", "--model", model, "--steps", 1]
    assert layton(*arguments, "--seed", (1 << 63) - 1)[0] == 0
    for seed in (1 << 63, 10**30, -1):
        code, _, err = layton(*arguments, "--seed", seed)
        assert (code, "--seed" in err) == (2, True)


def test_damaged_models_are_named(layton, photos, tmp_path, tiny_tokenizer):
    whole = tmp_path / "whole.pt"
    torch.save(tiny_tokenizer.state_dict(), whole)
    data = whole.read_bytes()
    arguments = ["-o", tmp_path / "x.npz", "--name", "layton-t", "--model"]
    damaged = {
        "half.pt": data[: len(data) // 2],
        "empty.pt": b"",
        "text.pt": b"not weights",
        "pickle.pt": b"\x80\x04\x95\xff\xff\xff\xff\x00\x00\x00\x00.",
        "code.pt": b"cos\nsystem\n(S'true'\ntR.",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        code, _, err = layton("encode", photos, *arguments, tmp_path / name)
        assert (code, f"{name}: " in err) == (2, True), name
