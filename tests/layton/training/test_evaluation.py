"""The benchmark runs on the exported model while it trains."""

import json
import logging
import subprocess

import pytest
from tiny_training import SIZE_PX, draw_images, losses, recipe

from layton import Tokenizer
from layton.training import evaluation
from layton.training.engine import train
from layton.training.recipe import EvaluationRecipe


def test_a_run_is_evaluated_by_the_harness_itself(tmp_path, monkeypatch):
    draw_images(tmp_path / "images")
    recipe("vq", tmp_path).build().export(tmp_path / "vq/model")
    recipe("vae", tmp_path).build().export(tmp_path / "vae/model")
    recipe("diffusion", tmp_path).build().export(tmp_path / "diffusion/model")
    tokenizer = recipe("alignment", tmp_path).model_dump()["tokenizer"]
    monkeypatch.chdir(tmp_path)  # a recipe's paths are relative to where it is run
    train(
        recipe(
            "alignment",
            tmp_path,
            output="runs/aligned",
            stages=[{"steps": 2, "batch_size": 2, "size_px": SIZE_PX}],
            data={"sources": [{"path": str(tmp_path / "images")}]},
            tokenizer=tokenizer | {"image_px": 256, "sampler": {"kind": "consistency", "steps": 1}},
            sample_every=None,
            evaluation={"every": 2, "suite": "photos-256", "limit": 2},
        )
    )
    *steps, evaluated = losses(tmp_path / "runs/aligned")
    assert [line["step"] for line in steps] == [1, 2]
    assert evaluated["step"] == 2
    (path,) = (tmp_path / "runs/aligned/evaluation/photos-256/model").glob("*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "partial"  # two of ten photographs
    expected = {
        f"eval/{name}": metric["value"]
        for name, metric in record["metrics"].items()
        if metric["value"] is not None
    }
    assert {"eval/psnr", "eval/ssim", "eval/bpp"} <= expected.keys()
    assert evaluated == {"step": 2, **expected}
    # 16 codes of 4 bits over 256 × 256 pixels: the exported model is what was run
    assert evaluated["eval/bpp"] == pytest.approx(16 * 4 / 256**2)
    assert Tokenizer.from_pretrained("runs/aligned/model").config.image_px == 256
    assert 3 < evaluated["eval/psnr"] < 30


def test_an_evaluation_that_fails_costs_no_training(tmp_path, monkeypatch, caplog):
    calls = []

    def failed(command, **options):
        calls.append((command, options))
        return subprocess.CompletedProcess(command, 2, stdout="", stderr="error: no such suite")

    monkeypatch.setattr(evaluation.subprocess, "run", failed)
    plan = EvaluationRecipe(every=1, suite="nothing", data_root=tmp_path, limit=3)
    with caplog.at_level(logging.WARNING):
        assert evaluation.evaluate(plan, tmp_path / "run/model") == {}
    assert "evaluation failed (exit 2): error: no such suite" in caplog.text
    ((command, options),) = calls
    assert command[1:4] == ["-m", "layton_bench", "run"]
    assert command[command.index("--model") + 1] == "model"
    assert command[command.index("--limit") + 1] == "3"
    assert options["env"]["LAYTON_MODELS"] == str(tmp_path / "run")
