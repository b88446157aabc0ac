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
        ("p.txt", b"a\n\xe9t\xe9", "line 2 is not UTF-8 text"),
        ("p.csv", b"id,category\n1,x\n", "line 2: no 'prompt' among id, category"),
        ("p.csv", b"id,prompt\n1,a cup, red\n", "line 2: it has more cells than the header"),
        ("p.csv", b"id,prompt\n1,a cup\n2\n", "line 3: the prompt is empty"),
        ("p.tsv", b"id\tprompt\n1\t\n", "line 2: the prompt is empty"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt"', "line 2: not valid JSON"),
        ("p.jsonl", b'{"prompt": 3}', "line 1: the prompt is 3, and must be one text"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": null}', "line 2: the prompt is empty"),
        ("p.json", b'[{"prompt": ["a", "b"]}]', r"entry 1: the prompt is \['a', 'b'\]"),
        ("p.json", b'{"x": {"prompt": " "}}', "entry 'x': the prompt is empty"),
        ("p.json", b'["a", ""]', "entry 2: the prompt is empty"),
        ("p.json", b'"text"', "it is neither a list nor an object"),
        ("p.json", b"[[1]]", r"entry 1: \[1\] is not an object"),
        ("p.json", b"[" * 100_000, "nested too deeply"),
        ("p.docx", b"x", "'.docx' is not a known kind of prompt file"),
        ("p.csv", b"id,prompt\n1,x\n1,y\n", "several prompts have the id '1'"),
    ],
)
def test_bad_files_are_named_with_the_cause(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        open_prompts(tmp_path / name)
    assert caught.value.thing.startswith(str(tmp_path / name))


SEPARATORS = "\u2028\u2029\x85\v\f\x1c\x1d\x1e"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_other_line_separators_are_white_space_of_their_prompt(tmp_path, end):
    texts = [f"a circle{separator}and a square" for separator in SEPARATORS]
    (tmp_path / "p.txt").write_bytes(end.join(texts).encode())
    assert [text for _, text in prompts(tmp_path / "p.txt")] == ["a circle and a square"] * 8
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in texts[:3]]
    (tmp_path / "p.jsonl").write_bytes(end.join(lines).encode())
    assert [text for _, text in prompts(tmp_path / "p.jsonl")] == ["a circle and a square"] * 3
    rows = ["prompt,x", *(f"{text},1" for text in texts)]
    (tmp_path / "p.csv").write_bytes(end.join(rows).encode())
    assert [text for _, text in prompts(tmp_path / "p.csv")] == ["a circle and a square"] * 8


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, encoding):
    for name, text in (
        ("p.txt", "a cup\n"),
        ("p.csv", "prompt\na cup\n"),
        ("p.json", '["a cup"]'),
        ("p.jsonl", '{"prompt": "a cup"}'),
    ):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert prompts(tmp_path / name) == [("00000", "a cup")]


def test_half_a_pair_of_surrogates_is_replaced(tmp_path):
    (tmp_path / "p.json").write_text(r'[{"id": "k\ud83d", "prompt": "a cup \ud83d"}]')
    ((key, text),) = prompts(tmp_path / "p.json")
    assert (key, text) == ("k%uD83D", "a cup \ufffd")
    assert (key + text).encode()


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
