"""Texts to features: a small T5 built here, saved to disk and read back as a published one is."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_t5 import save_tiny_t5

from layton.errors import CheckpointError, PromptError
from layton.generator.text import T5TextEncoder, left_pad


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory):
    return save_tiny_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="module")
def encoder(t5_folder):
    return T5TextEncoder.from_pretrained(t5_folder, max_tokens=6)


def test_features_are_those_of_the_padded_batch(encoder, t5_folder):
    """The published scripts pad every text to the maximum and mask; here none is padded."""
    from transformers import AutoTokenizer, T5EncoderModel

    texts = ["a red circle", "a cat", "blue square left of"]
    features = encoder.encode(texts)
    assert [tuple(text.shape) for text in features] == [(4, 16), (3, 16), (5, 16)]
    batch = AutoTokenizer.from_pretrained(t5_folder)(
        texts, max_length=6, padding="max_length", return_tensors="pt"
    )
    with torch.no_grad():
        padded = T5EncoderModel.from_pretrained(t5_folder)(**batch).last_hidden_state
    for row, mask, text in zip(padded, batch.attention_mask, features, strict=True):
        assert (row[mask.bool()] - text).abs().max() < 1e-5


def test_a_text_has_the_same_bits_in_any_batch(encoder):
    together = encoder.encode(["a red circle", "a cat"])
    assert torch.equal(encoder.encode(["a cat"])[0], together[1])


def test_captions_are_cleaned_first(encoder):
    plain, shouted = encoder.encode(["a red cat", "  A <b>RED</b> cat "])
    assert torch.equal(plain, shouted)


def test_dtype_and_device(t5_folder):
    encoder = T5TextEncoder.from_pretrained(t5_folder, dtype=torch.bfloat16)
    assert encoder.encode(["a cat"])[0].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty after cleaning"),
        ("  \n ", "is empty after cleaning"),
        ("DSC01234.JPG", "is empty after cleaning"),
        ("a " * 4000, "8000 characters"),
        ("a cat \ud800", "not valid Unicode"),
    ],
)
def test_texts_that_cannot_be_used(encoder, monkeypatch, text, message):
    def started(*_, **__):
        raise AssertionError("work started")

    monkeypatch.setattr(encoder, "model", started)
    for refuse in (encoder.encode, encoder.check):
        with pytest.raises(PromptError, match=message):
            refuse(["a cat", text])
    encoder.check(["a cat"])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no T5 encoder"):
        T5TextEncoder.from_pretrained(tmp_path)


def test_left_padding_equals_the_recorded_case(shared):
    from safetensors.torch import load_file

    golden = load_file(shared / "parity/golden/llamagen_gpt_t2i.safetensors")
    right, masks = golden["in.text_embeds_right_padded"], golden["in.text_mask_right_padded"]
    texts = [row[mask.bool()] for row, mask in zip(right, masks, strict=True)]
    features, mask = left_pad(texts)
    longest = max(len(text) for text in texts)
    assert torch.equal(features, golden["in.cond_left_padded"][:, -longest:])
    assert torch.equal(mask, golden["in.emb_masks"].bool()[:, -longest:])


def test_left_padding_by_hand():
    features, mask = left_pad([torch.ones(1, 2), torch.full((3, 2), 2.0)])
    assert features[:, :, 0].tolist() == [[0, 0, 1], [2, 2, 2]]
    assert mask.tolist() == [[False, False, True], [True, True, True]]


def test_long_texts_are_cut_as_in_the_official_code(t5_folder):
    from transformers import AutoTokenizer, T5EncoderModel

    encoder = T5TextEncoder.from_pretrained(t5_folder, max_tokens=6)
    texts = ["a red circle left of a blue square", "a cat", "a red circle left of"]
    features = encoder.encode([*texts, texts[0]])
    assert [len(f) for f in features] == [6, 3, 6, 6]
    # the official call: padding and truncation to the maximum, and a mask
    tokenizer = AutoTokenizer.from_pretrained(t5_folder)
    inputs = tokenizer(
        texts[0], max_length=6, padding="max_length", truncation=True, return_tensors="pt"
    )
    assert inputs.input_ids[0, -1] == tokenizer.eos_token_id
    with torch.no_grad():
        expected = T5EncoderModel.from_pretrained(t5_folder).eval()(**inputs).last_hidden_state[0]
    assert torch.allclose(features[0], expected, atol=1e-5)
    assert encoder.cut == {texts[0]}  # 5 words and the end fit


def rewritten(name, change):
    """A damage: replace a file of the folder by what `change` makes of its bytes."""

    def damage(folder):
        file = folder / name
        file.write_bytes(change(file.read_bytes()))

    return damage


def with_fields(**fields):
    return lambda data: json.dumps(json.loads(data) | fields).encode()


def without_a_weight(folder):
    path = folder / "model.safetensors"
    state = load_file(path)
    del state["encoder.final_layer_norm.weight"]
    save_file(state, path, {"format": "pt"})


@pytest.mark.parametrize(
    "damage",
    [
        rewritten("model.safetensors", lambda data: data[: len(data) // 2]),
        rewritten("model.safetensors", lambda data: b"\xff" * 40 + data[40:]),
        rewritten("config.json", with_fields(d_model=[4])),
        rewritten("config.json", with_fields(d_model=17)),
        rewritten("config.json", lambda data: data[:-20]),
        rewritten("tokenizer.json", with_fields(post_processor={"type": "None"})),
        rewritten("tokenizer.json", lambda _: b"\xff\xfe"),
        rewritten("tokenizer_config.json", with_fields(unk_token=3)),
        rewritten("tokenizer_config.json", with_fields(model_max_length="long")),
        without_a_weight,
    ],
)
def test_a_damaged_folder_is_named(t5_folder, tmp_path, damage):
    folder = shutil.copytree(t5_folder, tmp_path / "t5")
    damage(folder)
    with pytest.raises(CheckpointError, match="no T5 encoder can be loaded") as raised:
        T5TextEncoder.from_pretrained(folder)
    assert raised.value.thing == str(folder)
    assert raised.value.remedy == "Pass a folder that holds one."
