import json

import pytest

from layton_bench.datasets.fingerprints import fingerprint
from layton_bench.datasets.prompts import open_prompts
from layton_bench.errors import ImageError, MissingDataError, UserError

TEXTS = ["a red cup", "two dogs, one cat", "Ünïcode “quotes”"]


def prompts(path) -> list[tuple[str, str]]:
    return [(item.key, item.captions[0]) for item in open_prompts(path).items()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "\ufeffa red cup\n\n  two dogs,   one cat\r\nÜnïcode “quotes”\n"),
        ("p.csv", 'Prompt,Category\na red cup,x\n"two dogs, one cat",y\nÜnïcode “quotes”,z\n'),
        ("p.tsv", "Prompt\tCategory\n" + "".join(f"{t}\tx\n" for t in TEXTS)),
        ("p.json", json.dumps(TEXTS)),
        ("p.json", json.dumps([{"prompt": t} for t in TEXTS])),
        ("p.jsonl", "\n\n".join(json.dumps({"Caption": t}) for t in TEXTS)),
    ],
)
def test_every_form_gives_the_same_prompts(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert prompts(tmp_path / name) == [(f"0000{i}", text) for i, text in enumerate(TEXTS)]


def test_ids_of_their_own(tmp_path):
    mjhq = {"ab12": {"category": "people", "prompt": "x"}, "cd34": {"prompt": "y"}}
    (tmp_path / "meta_data.json").write_text(json.dumps(mjhq))
    assert prompts(tmp_path / "meta_data.json") == [("ab12", "x"), ("cd34", "y")]
    (tmp_path / "p.csv").write_text("id,text\n7,x\n8,y\n")
    assert prompts(tmp_path / "p.csv") == [("7", "x"), ("8", "y")]


def test_rows_of_one_prompt_count_once(tmp_path):
    # as DPG-Bench's table, with a row for each question about a picture
    rows = ["item_id,text,question", "b1,a cup,Is it a cup?", "b1,a cup,Is it red?", "b2,a dog,?"]
    (tmp_path / "dpg_bench.csv").write_text("\n".join(rows))
    assert prompts(tmp_path / "dpg_bench.csv") == [("b1", "a cup"), ("b2", "a dog")]
    (tmp_path / "p.jsonl").write_text('{"prompt": "x"}\n{"prompt": "x"}\n')
    assert prompts(tmp_path / "p.jsonl") == [("00000", "x"), ("00001", "x")]


def test_a_folder_of_text_files(tmp_path):
    for name, text in (("10.txt", "ten"), ("9.txt", "nine\nlines"), ("a.md", "no")):
        (tmp_path / name).write_text(text)
    assert prompts(tmp_path) == [("9", "nine lines"), ("10", "ten")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", b"\n \n", "it holds no prompt"),
        ("p.txt", b"\xff\xfe\xfa", "it cannot be read: 'utf-8' codec"),
        ("p.csv", b"id,category\n1,x\n", "it cannot be read: no 'prompt' among id, category"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt"', "it cannot be read: line 2: "),
        ("p.jsonl", b'{"prompt": 3}', "it cannot be read: line 1: no 'prompt' among prompt"),
        ("p.json", b'"text"', "it is neither a list nor an object"),
        ("p.json", b"[[1]]", r"it cannot be read: \[1\] is not an object"),
        ("p.docx", b"x", "'.docx' is not a form of prompt file that is known"),
        ("p.csv", b"id,prompt\n1,x\n1,y\n", "several prompts have the id '1'"),
    ],
)
def test_bad_files_are_named_with_the_cause(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        open_prompts(tmp_path / name)
    assert caught.value.thing == str(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        open_prompts(tmp_path / "none.txt")


def test_there_is_no_image_but_a_fingerprint_of_the_texts(tmp_path):
    (tmp_path / "p.txt").write_text("\n".join(TEXTS))
    (tmp_path / "p.json").write_text(json.dumps(TEXTS))
    (tmp_path / "q.txt").write_text("\n".join([*TEXTS[:2], "another"]))
    found = {}
    for name in ("p.txt", "p.json", "q.txt"):
        dataset = open_prompts(tmp_path / name)
        found[name] = fingerprint(dataset, dataset.items())
    assert found["p.txt"] == found["p.json"] != found["q.txt"]
    with pytest.raises(ImageError, match="prompt '00000' has no image"):
        dataset.read(dataset.items()[0])
