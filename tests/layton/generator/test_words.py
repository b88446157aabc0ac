"""The word encoder: numbers of words, padding, features, prompts it cannot take, files."""

import json

import pytest
import torch

from layton.errors import CheckpointError, ConfigError, PromptError
from layton.generator.words import (
    WordEncoder,
    WordsConfig,
    load_words,
    save_words,
    split_words,
    vocabulary,
)

WORDS = ("a", "blue", "circle", "of", "red", "star")
CONFIG = WordsConfig(words=WORDS, width=16, depth=2, num_heads=2, max_words=5)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = WordEncoder(CONFIG).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return encoder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red circle", ["a", "red", "circle"]),
        ("  A RED\tcircle.\n", ["a", "red", "circle"]),
        ("a circle, a star", ["a", "circle", "a", "star"]),
        ("a well-known dog's nose", ["a", "well-known", "dog's", "nose"]),
        ("red - blue -- 'star'", ["red", "blue", "star'"]),
        ("", []),
        (" .,!? - ", []),
    ],
)
def test_words_of_a_text(text, words):
    assert split_words(text) == words


def test_the_vocabulary_is_sorted_and_has_each_word_once():
    assert vocabulary(["a red circle", "A blue circle", "star of a star"]) == WORDS
    assert vocabulary([]) == ()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a", [0]),
        ("a red circle", [0, 4, 2]),
        ("A Red STAR of a", [0, 4, 5, 3, 0]),
        ("star, star!", [5, 5]),
    ],
)
def test_numbers(encoder, text, numbers):
    found = encoder.numbers(text)
    assert found.dtype == torch.int64
    assert found.tolist() == numbers


def test_padding_stands_before_the_words(encoder):
    numbers, mask = encoder.pad(["red circle", "a", "a star of a circle"])
    assert numbers.tolist() == [[0, 0, 0, 4, 2], [0, 0, 0, 0, 0], [0, 5, 3, 0, 2]]
    assert mask.int().tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    assert (numbers.dtype, mask.dtype) == (torch.int64, torch.bool)
    # no longer than it must be
    assert encoder.pad(["red", "blue"])[0].tolist() == [[4], [1]]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("padding", [1, 2, 4])
def test_features_do_not_depend_on_the_padding(encoder, padding, training):
    encoder.train(training)
    numbers, mask = encoder.pad(["a red circle"])
    longer = torch.cat((numbers.new_full((1, padding), 5), numbers), 1)
    shown = torch.cat((mask.new_zeros(1, padding), mask), 1)
    with torch.no_grad():
        plain, padded = encoder(numbers, mask), encoder(longer, shown)
    encoder.eval()
    assert padded.shape == (1, padding + 3, 16)
    assert (padded[:, padding:] - plain).abs().max() < 1e-5
    assert not padded[:, :padding].any()


def test_the_order_of_the_words_counts(encoder):
    first, second = encoder.encode(["red blue", "blue red"])
    assert (first - second.flip(0)).abs().max() > 0.1


def test_a_word_takes_in_the_one_before_it():
    """By hand: own + 2 · before + 3 · own · before, where nothing stands before the first word."""
    bare = WordEncoder(WordsConfig(words=WORDS, width=16, depth=1)).eval()
    bare.blocks, bare.norm = torch.nn.ModuleList(), torch.nn.Identity()
    own = bare.embedding.weight.detach()
    places = bare.positions.detach()
    (fresh,) = bare.encode(["red circle"])
    assert torch.equal(fresh, own[[4, 2]] + places[:2])
    with torch.no_grad():
        bare.previous.weight.copy_(torch.cat((2 * torch.eye(16), 3 * torch.eye(16)), 1))
    numbers, mask = bare.pad(["red circle", "a star of red"])
    features = bare(numbers, mask)[0, 2:]
    expected = torch.stack((own[4], own[2] + 2 * own[4] + 3 * own[2] * own[4])) + places[:2]
    assert (features - expected).abs().max() < 1e-5


@pytest.mark.parametrize("other", ["a blue circle", "circle red a"])
def test_a_fresh_encoder_tells_texts_apart(other):
    """Small embeddings drowned in what the blocks add: a transformer then never learned to read."""
    torch.manual_seed(0)
    fresh = WordEncoder(WordsConfig(words=WORDS, width=128, depth=3)).eval()
    one, two = fresh.encode(["a red circle", other])
    assert float((one - two).norm() / one.norm()) > 0.3


def test_a_text_has_the_same_bits_in_any_batch(encoder):
    texts = ["a", "a red circle", "a star of a circle", "a red circle"]
    together = encoder.encode(texts)
    assert [len(features) for features in together] == [1, 3, 5, 3]
    assert all(features.dtype == torch.float32 for features in together)
    for text, features in zip(texts, together, strict=True):
        (alone,) = encoder.encode([text])
        assert torch.equal(alone, features)
        assert not features.requires_grad
    assert torch.equal(together[1], together[3])


def test_training_and_drawing_see_the_same_features(encoder):
    """Training runs a padded batch, drawing each text by itself."""
    texts = ["a", "a star of a circle", "red"]
    numbers, mask = encoder.pad(texts)
    encoder.train()
    batch = encoder(numbers, mask)
    encoder.eval()
    for row, valid, alone in zip(batch, mask, encoder.encode(texts), strict=True):
        assert (row[valid] - alone).abs().max() < 1e-5


def test_every_parameter_learns(encoder):
    numbers, mask = encoder.pad(["a star of a circle", "red blue"])
    encoder.train()
    encoder(numbers, mask).square().sum().backward()
    encoder.eval()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
    # the padding's number is a word's too, but padding teaches it nothing
    assert not encoder.positions.grad[5:].any()
    encoder.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no words"),
        (" ?!", "has no words"),
        ("a green circle", "does not know: green\nIt knows"),
        ("a green, very green circle", "does not know: green, very\nIt"),
        ("a a a a a a", "6 words, the model takes 5"),
        ("x" * 5000, "does not know: x{57}...\nIt"),
        ("word " * 900, "900 words, the model takes 5"),
        ("x" * 5001, "5001 characters"),
        ("a \ud800 circle", "not valid Unicode"),
    ],
)
def test_prompts_that_cannot_be_drawn(encoder, text, reason):
    with pytest.raises(PromptError, match=reason) as caught:
        encoder.encode(["a red circle", text])
    assert len(str(caught.value)) < 400
    with pytest.raises(PromptError, match=reason):
        encoder.check(["a red circle", text])
    encoder.check(["a red circle"])


def test_the_known_words_are_told(encoder):
    with pytest.raises(PromptError) as caught:
        encoder.numbers("a cat")
    assert caught.value.remedy == "It knows: a, blue, circle, of, red, star."
    many = WordEncoder(WordsConfig(words=tuple(f"w{i}" for i in range(63)), width=4, num_heads=1))
    with pytest.raises(PromptError, match="w59 and 3 more"):
        many.numbers("cat")


def test_a_saved_encoder_comes_back(encoder, tmp_path):
    save_words(encoder, tmp_path / "text")
    loaded = load_words(tmp_path / "text")
    assert loaded.config == CONFIG
    assert not loaded.training
    texts = ["a red circle", "star"]
    for ours, theirs in zip(loaded.encode(texts), encoder.encode(texts), strict=True):
        assert torch.equal(ours, theirs)


def test_half_the_bytes(encoder, tmp_path):
    save_words(encoder, tmp_path / "whole")
    save_words(encoder, tmp_path / "half", dtype=torch.bfloat16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    loaded = load_words(tmp_path / "half")
    assert loaded.embedding.weight.dtype == torch.float32
    assert torch.equal(loaded.positions, encoder.positions.bfloat16().float())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"widht": 3}, "widht"), ({"width": 0}, "width"), ({"words": 3}, "words")],
)
def test_broken_configurations(encoder, tmp_path, change, message):
    save_words(encoder, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        load_words(tmp_path)


def test_files_that_do_not_fit(encoder, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_words(tmp_path)
    save_words(encoder, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"words": [*WORDS, "cat"]}))
    with pytest.raises(CheckpointError, match=r"embedding\.weight"):
        load_words(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        load_words(tmp_path)
