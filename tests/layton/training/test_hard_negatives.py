"""Hard negatives: which words change, what the loss says, and the phase's sum."""

import math

import pytest
import torch
from pydantic import ValidationError
from tiny_training import GPT, draw_images, recipe

from layton.errors import ConfigError
from layton.training.data.extract import ExtractRecipe, extract
from layton.training.dry_run import estimate
from layton.training.errors import DataError
from layton.training.hard_negatives import (
    HardNegativesRecipe,
    contrastive_loss,
    hard_negatives,
    neighbours,
)

NEGATIVES = {
    "weight": 0.5,
    "swapped": ["red", "blue", "orange"],
    "replaced": {"left": "right", "right": "left", "under": "above"},
}
RECIPE = HardNegativesRecipe.model_validate(NEGATIVES)
KNOWN = neighbours(
    f"{article} {colour} {shape} and a {shape}, {where} a {other} {where} {article} {colour}"
    for article, colour in (("a", "red"), ("a", "blue"), ("an", "orange"))
    for shape in ("star", "ring", "arrow")
    for other in ("star", "ring")
    for where in ("left of", "to the left of", "right of", "to the right of", "above", "under")
) | neighbours(["ring left", "ring to", "star to", "star and an orange ring", "ring right"])


def test_neighbours_are_all_pairs_in_order():
    assert neighbours(["A red star.", "a red", "ring", ""]) == {("a", "red"), ("red", "star")}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red star and a blue ring", ["a blue star and a red ring"]),
        ("A Red star and a BLUE ring.", ["a blue star and a red ring"]),
        ("a red star and a red ring", []),
        ("a red star and a ring", []),
        ("a red star and a blue ring and an orange arrow", []),
        # the articles tell nothing
        ("a red star and an orange ring", ["an orange star and a red ring"]),
        ("a star left of a ring", ["a star right of a ring"]),
        ("a star to the right of a ring", ["a star to the left of a ring"]),
        ("a star under a ring", ["a star above a ring"]),
        (
            "a red star left of a blue ring",
            ["a blue star left of a red ring", "a red star right of a blue ring"],
        ),
        (
            "left of a star right of a ring",
            ["right of a star right of a ring", "left of a star left of a ring"],
        ),
        ("a star", []),
        ("", []),
    ],
)
def test_captions_that_differ_in_one_exchange(caption, expected):
    known = KNOWN | neighbours([caption, *expected])
    assert hard_negatives(caption, RECIPE, known) == expected


def test_what_no_caption_says_is_no_negative():
    """A pair held out from training must not be named in a negative either."""
    known = neighbours(["a red star and a blue ring", "a blue star left of a red heart"])
    assert hard_negatives("a red star and a blue ring", RECIPE, known) == []  # "red ring"
    known |= neighbours(["red ring"])
    assert hard_negatives("a red star and a blue ring", RECIPE, known) != []
    assert hard_negatives("a star under a ring", RECIPE, known) == []  # "star above"


def test_the_loss_is_the_chance_of_the_own_caption():
    """Bayes' rule by hand: p(own | image) = p(image | own) / Σ p(image | caption)."""
    own, negative = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([1.5, 2.0, 0.0])
    expected = [
        -math.log(math.exp(-a) / (math.exp(-a) + math.exp(-b)))
        for a, b in zip(own.tolist(), negative.tolist(), strict=True)
    ]
    assert contrastive_loss(own, negative).tolist() == pytest.approx(expected, rel=1e-6)
    # thousands of nats do not overflow
    far = torch.tensor([2e4, 0.0])
    assert contrastive_loss(far, far.flip(0)).tolist() == [2e4, 0.0]


@pytest.mark.parametrize(
    "change", [{"weight": 0.0}, {"swapped": ["dark red"]}, {"replaced": {"left": "Right"}}]
)
def test_words_and_weights_without_sense(change):
    with pytest.raises(ValidationError):
        HardNegativesRecipe.model_validate(NEGATIVES | change)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Codes of pictures captioned in two colours."""
    root = tmp_path_factory.mktemp("hard_negatives")
    draw_images(root / "images", count=8)
    recipe("vq", root).build().export(root / "vq/model")
    said = {
        "phase": "extract",
        "output": root / "codes",
        "size_px": 32,
        "vq": root / "vq/model",
        "data": {"sources": [{"path": root / "images"}], "flip": False},
    }
    extract(ExtractRecipe.model_validate(said), on_progress=lambda *_: None)
    return root


def phase_of(root, **changes):
    torch.manual_seed(0)
    phase = recipe("gpt", root, **changes).build().eval()
    with torch.no_grad():
        phase.gpt.output.weight.normal_()
    return phase


BATCH = {
    "seeds": torch.tensor([11, 12, 13, 14]),
    "codes": torch.arange(64).view(4, 16) * 5 % 16,
    "captions": ["a red disc on blue", "a disc", "a green disc on red", "a blue disc"],
}
DISCS = {"weight": 0.5, "swapped": ["red", "blue", "green", "yellow"]}


def nats_of(phase, caption, codes):
    """−log p(codes | caption) of one image by itself."""
    (text,) = phase.words.encode([caption])
    logits = phase.gpt(text[None], codes[None, :-1])[0].double()
    return float(-logits.log_softmax(-1).gather(1, codes[:, None]).sum())


def test_the_phases_loss_is_both_terms(root):
    said = DISCS | {"replaced": {"disc": "on"}}  # a second negative of some
    phase = phase_of(root, condition_dropout=0.0, hard_negatives=said)
    phase._known |= neighbours(["green on", "on on"])
    with torch.no_grad():
        outcome = phase(BATCH, 0)
        own = [nats_of(phase, c, k) for c, k in zip(BATCH["captions"], BATCH["codes"], strict=True)]
        first = nats_of(phase, "a blue disc on red", BATCH["codes"][0])
        third = nats_of(phase, "a red disc on green", BATCH["codes"][2])
        again = nats_of(phase, "a green on on red", BATCH["codes"][2])
    entropy = sum(own) / 64
    # of the four the first has one hard negative, the third two
    pairs = [(own[0], first), (own[2], third), (own[2], again)]
    told = sum(math.log1p(math.exp(a - b)) for a, b in pairs) / 4
    assert own[0] != pytest.approx(first, abs=1e-3)
    assert outcome.loss.item() == pytest.approx(entropy + 0.5 * told, rel=1e-5)
    assert float(outcome.parts["hard_negatives"]) == pytest.approx(told, rel=1e-5)
    assert float(outcome.parts["bits_per_token"]) == pytest.approx(entropy / math.log(2), rel=1e-5)


def test_without_false_captions_the_loss_is_the_cross_entropy(root):
    batch = BATCH | {"captions": ["a disc", "a red disc", "a disc on red", "a blue disc"]}
    plain, doubled = phase_of(root), phase_of(root, hard_negatives=DISCS)
    with torch.no_grad():
        expected, found = plain(batch, 0), doubled(batch, 0)
        assert float(found.loss) == float(expected.loss)
        assert float(found.parts["hard_negatives"]) == 0.0
        assert "hard_negatives" not in expected.parts
        # a dropped caption cannot be false
        silent = phase_of(root, condition_dropout=0.999999, hard_negatives=DISCS)
        assert float(silent(BATCH, 0).parts["hard_negatives"]) == 0.0


def test_it_teaches_which_colour_is_whose(root):
    """Two codes images apart, two captions with the same words: a few steps tell them apart."""
    phase = phase_of(root, condition_dropout=0.0, hard_negatives=DISCS).train()
    batch = BATCH | {
        "captions": ["a red disc on blue", "a blue disc on red"] * 2,
        "codes": torch.tensor([[1] * 16, [2] * 16] * 2),
    }
    optimizer = torch.optim.Adam(phase.parameters(), lr=1e-2)
    for step in range(30):
        outcome = phase(batch, step)
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
    assert float(outcome.parts["hard_negatives"]) < 0.1
    assert phase.words.previous.weight.grad.any()


def test_negatives_need_words_that_can_change(root):
    with pytest.raises(
        ConfigError, match=r"extracted features cannot be changed; add a table \[words\]"
    ):
        recipe("gpt", root, words=None, hard_negatives=DISCS)
    unknown = {"weight": 0.5, "swapped": ["red", "teal"], "replaced": {"blue": "mauve"}}
    with pytest.raises(DataError, match="in no caption: mauve, teal"):
        recipe("gpt", root, hard_negatives=unknown).build()


def test_counted_memory_has_room_for_negatives(root):
    words = {"depth": 1, "num_heads": 2, "max_words": GPT["num_prefix_tokens"]}
    plain = estimate(recipe("gpt", root, words=words))
    doubled = estimate(recipe("gpt", root, words=words, hard_negatives=DISCS))
    assert doubled.parameters == plain.parameters
    # as many negatives as samples
    assert doubled.activation_bytes == pytest.approx(2 * plain.activation_bytes, rel=0.1)
