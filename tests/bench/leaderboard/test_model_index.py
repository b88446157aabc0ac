import pytest
import yaml
from board_cases import scored
from fakes import record, result, suite
from huggingface_hub import ModelCard, ModelCardData

from layton_bench.errors import UserError
from layton_bench.leaderboard.board import boards
from layton_bench.leaderboard.formats import render


def test_the_hubs_own_loader_reads_the_model_index() -> None:
    metrics = {
        "psnr": result(float("inf")),
        "ssim": result(0.625, low=0.5, high=0.75, label="SSIM", unit="", note="a: b # c"),
        "fid": result(None, unavailable="no weights"),
    }
    made = [
        record("m", card={"title": "M: 'é' *"}, metrics=metrics, bits_per_image=448.0),
        record("m", card={"title": "M: 'é' *"}, suite=suite(name="other-16", kind="generation"),
               metrics={"ssim": metrics["ssim"]}, number=2),
    ]  # fmt: skip
    text = render(boards(made), "model-index")
    card = ModelCard(f"---\n{text}---\n# A model\n")
    assert isinstance(card.data, ModelCardData)
    assert card.data.model_name == "M: 'é' *"
    found = {r.dataset_name: r for r in card.data.eval_results or []}
    assert set(found) == {"tiny-16 v1", "other-16 v1"}
    first = found["tiny-16 v1"]
    assert (first.task_type, first.metric_type, first.metric_value) == (
        "image-to-image", "ssim", 0.625,
    )  # fmt: skip
    assert first.dataset_revision == "d" * 64
    assert first.metric_args == {
        "n": 10, "signature": "psnr|n:10|v1", "low": 0.5, "high": 0.75, "note": "a: b # c",
        "bits_per_image": 448.0, "layton_bench": "0.1.0",
    }  # fmt: skip
    assert found["other-16 v1"].task_type == "text-to-image"
    # and a card that is written anew holds the same
    assert yaml.safe_load(card.data.to_yaml()) == yaml.safe_load(text)


def test_a_model_index_is_of_one_model_with_a_value() -> None:
    with pytest.raises(UserError, match=r"a model card describes one model, and here are 2"):
        render(boards([record("a"), record("b", number=2)]), "model-index")
    with pytest.raises(UserError, match="here are 0"):
        render([], "model-index")
    with pytest.raises(UserError, match="it has no finite value"):
        render(boards([scored("a", None)]), "model-index")
