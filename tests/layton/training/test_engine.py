"""Every phase from drawn pictures to an exported model, and what the engine promises of all."""

import json
import math
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_training import (
    CHAIN,
    COLOURS,
    ENCODER,
    GPT,
    SIZE_PX,
    checkpoint,
    draw_images,
    losses,
    recipe,
    tables,
)

from layton import LaytonDecoder, TextToImage, Tokenizer, load_gpt
from layton.cli import main
from layton.errors import CheckpointError, ConfigError
from layton.files import read_image
from layton.generator.folder import read_generator
from layton.generator.loading import save_gpt
from layton.generator.words import load_words
from layton.tokenizer.lora import read_lora
from layton.training import engine as engine_module
from layton.training.data.extract import ExtractRecipe, extract
from layton.training.data.stream import Stream
from layton.training.engine import Trainer, train
from layton.training.errors import DataError, NonFiniteLossError
from layton.training.recipe import validate
from layton.weights.fingerprints import codebook_digest

PHASES = [name for name in CHAIN if name not in ("pairs", "codes")]
ROWS = {"vq": 2, "vae": 2, "diffusion": 2, "gpt": 2}  # of a grid; the decoders' have 3


def run_extract(name, root, **changes):
    found = validate(ExtractRecipe, tables(name, root, **changes), source=root)
    return extract(found, on_progress=lambda done, total: None)


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """All phases run once, each on what the one before exported."""
    root = tmp_path_factory.mktemp("chain")
    draw_images(root / "images")
    for name in CHAIN:
        if name in ("pairs", "codes"):
            run_extract(name, root)
        else:
            more = {"trackers": ["tensorboard"]} if name == "vq" else {}
            train(recipe(name, root, **more))
    return root


def weights(folder):
    (path,) = folder.glob("*.safetensors") if not (folder / "model.safetensors").is_file() else (
        folder / "model.safetensors",
    )  # fmt: skip
    return load_file(path)


def part(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def assert_equal(one, other):
    assert one
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", PHASES)
def test_a_phase_logs_draws_saves_and_exports(chain, name):
    output = chain / name
    lines = losses(output)
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert all(line["grad_norm"] > 0 for line in lines)

    (grid,) = output.glob("samples/*.png")
    assert grid.name == "step-00000003.png"
    with Image.open(grid) as picture:
        assert picture.size == (2 * SIZE_PX, ROWS.get(name, 3) * SIZE_PX)
        pixels = np.asarray(picture)
    if name not in ("gpt", "diffusion", "alignment", "distillation"):  # there: decoded latents
        first = Stream(recipe(name, chain).data.model_copy(update={"flip": False}), seed=0)
        shown = pixels[:SIZE_PX, :SIZE_PX].astype(float)
        expected = (first[0, SIZE_PX]["images"].permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(shown - expected).max() <= 0.51

    # pruned to one, and nothing half written is left
    assert [p.name for p in (output / "checkpoints").iterdir()] == ["step-00000003"]
    assert (output / "model").is_dir()


def test_crops_of_another_size_than_the_tokenizers_are_drawn(chain, tmp_path):
    side = 2 * SIZE_PX
    run_extract("pairs", chain, output=str(tmp_path / "pairs"), size_px=side, variants=1)
    train(
        recipe(
            "alignment", chain, output=str(tmp_path / "out"), sample_every=1,
            stages=[{"steps": 1, "batch_size": 2, "size_px": side}],
            data={"sources": [{"path": str(tmp_path / "pairs"), "kind": "extracted"}]},
        )
    )  # fmt: skip
    with Image.open(tmp_path / "out/samples/step-00000001.png") as picture:
        assert picture.size == (2 * side, 3 * side)


def test_losses_and_grids_reach_tensorboard(chain):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (chain / "vq").rglob("events.out.tfevents*")
    events = EventAccumulator(str(file.parent)).Reload()
    logged = {event.step: event.value for event in events.Scalars("loss")}
    expected = {line["step"]: line["loss"] for line in losses(chain / "vq")}
    assert logged == pytest.approx(expected, rel=1e-6)
    (image,) = events.Images("samples")
    assert (image.width, image.height) == (2 * SIZE_PX, 2 * SIZE_PX)


@pytest.mark.parametrize("name", ["alignment", "distillation", "consistency"])
def test_the_exported_tokenizer_encodes_and_decodes(chain, name):
    tokenizer = Tokenizer.from_pretrained(chain / name / "model")
    kind, steps = {
        "alignment": ("ddim", 4), "distillation": ("consistency", 1), "consistency":
        ("consistency", 2),
    }[name]  # fmt: skip
    assert (tokenizer.config.sampler.kind, tokenizer.config.sampler.steps) == (kind, steps)
    images = torch.stack([read_image(p, SIZE_PX) for p in sorted(chain.glob("images/*.png"))])
    codes = tokenizer.encode(images)
    assert codes.shape == (6, 16)
    decoded = tokenizer.decode(codes, generator=[0] * 6)
    assert decoded.shape == (6, 3, SIZE_PX, SIZE_PX)
    assert float(decoded.abs().max()) <= 1.0
    assert float(decoded.std()) > 0


def test_a_drawn_image_comes_from_words_to_pixels(chain):
    words = load_words(chain / "gpt/model/text")
    assert set(words.config.words) == {"a", "disc", "on", *COLOURS}
    decoder = LaytonDecoder(Tokenizer.from_pretrained(chain / "consistency/model"))
    model = TextToImage(words, load_gpt(chain / "gpt/model"), decoder)
    drawn = model.generate(["a red disc on blue", "a blue disc on red"], seeds=[1, 2])
    assert drawn.shape == (2, 3, SIZE_PX, SIZE_PX)


def test_a_generator_knows_the_codebook_of_its_codes(chain, tmp_path):
    tokenizer = Tokenizer.from_pretrained(chain / "consistency/model")
    expected = codebook_digest(tokenizer.quantize.embedding.weight.detach().numpy())
    found = read_generator(chain / "gpt/model")
    assert (found.tokenizer, found.codebook) == ("layton-small", expected)
    other = tmp_path / "codes"
    shutil.copytree(chain / "codes", other)
    note = json.loads((other / "made-by.json").read_text())
    (other / "made-by.json").write_text(json.dumps(note | {"codebook": "0123456789abcdef"}))
    sources = [{"path": str(f), "kind": "extracted"} for f in (chain / "codes", other)]
    with pytest.raises(DataError, match="codes of different codebooks"):
        recipe("gpt", chain, data={"sources": sources}).build()


def test_a_text_encoder_learns_at_a_rate_of_its_own(chain, tmp_path):
    words = {"depth": 1, "num_heads": 2, "max_words": 8, "lr_scale": 0.01}
    trainer = Trainer(
        recipe(
            "gpt",
            chain,
            output=str(tmp_path),
            words=words,
            optimizer={"lr": 1e-3, "weight_decay": 0.0},
            stages=[{"steps": 1, "batch_size": 4, "size_px": SIZE_PX}],
            ema_decay=None,
        )
    )
    before = {name: p.detach().clone() for name, p in trainer.phase.named_parameters()}
    with torch.no_grad():  # a fresh output layer is 0 and hands no gradient on
        torch.nn.init.normal_(trainer.phase.gpt.output.weight)
        before["gpt.output.weight"] = trainer.phase.gpt.output.weight.clone()
    trainer.run()
    moved = {
        n: float((p.detach() - before[n]).abs().max()) for n, p in trainer.phase.named_parameters()
    }
    slow = {n for n in moved if n.startswith(("words.", "gpt.cls_embedding."))}
    # Adam's first step is the learning rate wherever there is a gradient
    assert {"words.embedding.weight", "gpt.cls_embedding.cap_proj.fc2.weight"} <= slow
    assert all(moved[n] == pytest.approx(1e-5, rel=0.02) for n in slow), moved
    assert all(moved[n] == pytest.approx(1e-3, rel=0.02) for n in moved.keys() - slow), moved


def test_a_generator_goes_on_with_its_text_encoder(chain, tmp_path):
    trained = chain / "gpt/model"
    phase = recipe("gpt", chain, init=str(trained), output=str(tmp_path)).build()
    assert_equal(phase.words.state_dict(), weights(trained / "text"))
    assert_equal(phase.gpt.state_dict(), weights(trained))
    deeper = {"depth": 2, "num_heads": 2, "max_words": 8}
    with pytest.raises(DataError, match="other words or sizes"):
        recipe("gpt", chain, init=str(trained), words=deeper).build()
    shutil.copytree(trained, tmp_path / "alone", ignore=shutil.ignore_patterns("text"))
    fresh = recipe("gpt", chain, init=str(tmp_path / "alone"), words=deeper).build()
    assert fresh.words.config.depth == 2
    # whose projection starts anew, at the scale of its features
    std = float(fresh.gpt.cls_embedding.cap_proj.fc1.weight.detach().std())
    assert std == pytest.approx(GPT["text_dim"] ** -0.5, rel=0.3)


def test_a_transformer_without_prefix_keys_goes_on_with_some(chain):
    trained = chain / "gpt/model"
    old = recipe("gpt", chain, init=str(trained)).build().gpt
    grown = recipe("gpt", chain, init=str(trained), gpt=GPT | {"prefix_keys": True}).build().gpt
    assert grown.config.prefix_keys
    added = grown.state_dict().keys() - old.state_dict().keys()
    assert added == {"layers.0.attention.prefix_keys.weight"}
    condition, codes = torch.randn(2, 4, GPT["text_dim"]), torch.zeros(2, 3, dtype=torch.int64)
    with torch.no_grad():
        wanted, found = (gpt.eval()(condition, codes) for gpt in (old, grown))
    assert (found - wanted).abs().max() < 1e-5
    # and once they are there, they are read
    save_gpt(grown, chain / "grown")
    keyed = GPT | {"prefix_keys": True}
    again = recipe("gpt", chain, init=str(chain / "grown"), gpt=keyed, words=None)
    assert_equal(again.build().gpt.state_dict(), grown.state_dict())


def test_a_transformer_starts_where_its_codes_lie(chain):
    vq = chain / "vq/model"
    vectors = weights(vq)["quantize.embedding.weight"]
    # extracted codes know their codebook: here that of the tokenizer, whose VQ is this one
    gpt = recipe("gpt", chain, codebook=str(vq)).build().gpt
    centred = vectors - vectors.mean(0)
    starts = (gpt.tok_embeddings.weight.detach(), 0.3), (gpt.output.weight.detach(), 0.25)
    for weight, std in starts:
        assert torch.linalg.matrix_rank(weight) == vectors.shape[1]
        fit = torch.linalg.lstsq(centred, weight).solution
        assert torch.allclose(centred @ fit, weight, atol=1e-4)
        assert float(weight.std()) == pytest.approx(std, rel=0.4)


def test_a_codebook_that_is_not_the_codes_own_is_refused(chain, tmp_path):
    small = recipe("vq", chain, encoder=ENCODER | {"codebook_size": 8}, output=str(tmp_path))
    small.build().export(tmp_path / "vq")
    with pytest.raises(DataError, match="has other codes than the sources"):
        recipe("gpt", chain, codebook=str(tmp_path / "vq")).build()
    unknown = {"sources": [{"path": str(chain / "images")}]}  # whose codes nobody has noted
    with pytest.raises(DataError, match="has 8 codes"):
        recipe("gpt", chain, codebook=str(tmp_path / "vq"), data=unknown, words=None).build()


def test_what_a_phase_does_not_train_stays_bit_for_bit(chain):
    vq, vae = weights(chain / "vq/model"), weights(chain / "vae/model/vae")
    base = {p: weights(chain / f"diffusion/model/{p}") for p in ("unet", "vae")}
    aligned, distilled, tiny = (
        weights(chain / name / "model") for name in ("alignment", "distillation", "consistency")
    )
    assert_equal(base["vae"], vae)
    for state in (aligned, distilled, tiny):
        assert_equal(part(state, "vae."), vae)
        for prefix in ("encoder.", "quant_conv.", "quantize."):
            assert_equal(part(state, prefix), part(vq, prefix))
    assert_equal(part(aligned, "decoder.unet."), base["unet"])
    assert_equal(part(distilled, "decoder.controlnet."), part(aligned, "decoder.controlnet."))

    # and what it trains moves
    def moved(one, other, prefix):
        a, b = part(one, prefix), part(other, prefix)
        return sum(not torch.equal(a[key], b[key]) for key in a) / len(a)

    start = Trainer(recipe("alignment", chain, output=str(chain / "fresh"))).phase
    fresh = {f"decoder.{k}": v for k, v in start.tokenizer.decoder.state_dict().items()}
    assert moved(aligned, fresh, "decoder.controlnet.") > 0.2
    assert moved(distilled, aligned, "decoder.unet.") > 0.2
    assert moved(tiny, distilled, "decoder.unet.") > 0.2
    assert moved(tiny, distilled, "decoder.controlnet.") > 0.8


def test_the_lora_file_on_the_teacher_is_the_merged_export(chain):
    file = chain / "distillation/model/pytorch_lora_weights.safetensors"
    assert {pair.rank for pair in read_lora(file).values()} == {2}
    student = Tokenizer.from_pretrained(chain / "alignment/model", lora=file).state_dict()
    merged = weights(chain / "distillation/model")
    unet = part(merged, "decoder.unet.")
    assert unet
    for key, tensor in unet.items():
        assert torch.allclose(student[f"decoder.unet.{key}"], tensor, atol=1e-6), key


def test_extracted_codes_and_latents_are_those_of_the_pictures(chain):
    """A step on extracted samples has the loss of one on the pictures that they stand for."""
    run_extract("pairs", chain, output=str(chain / "plain"), variants=1,
                data={"sources": [{"path": str(chain / "images")}], "flip": False})  # fmt: skip
    images = {"sources": [{"path": str(chain / "images")}], "flip": False}
    extracted = {"sources": [{"path": str(chain / "plain"), "kind": "extracted"}]}
    phase = recipe("consistency", chain, tokenizer=str(chain / "alignment/model")).build().eval()
    for position in (0, 7):
        a = Stream(recipe("alignment", chain, data=images).data, seed=0)[position, SIZE_PX]
        b = Stream(recipe("alignment", chain, data=extracted).data, seed=0)[position, SIZE_PX]
        assert torch.equal(a["seeds"], b["seeds"])
        assert a["captions"] == b["captions"]
        live, kept = phase.latents({"images": a["images"][None]}), b["latents"][None]
        assert torch.allclose(live, kept, atol=2e-3, rtol=1e-3)  # kept as float16
        vectors = phase.quantized({"images": a["images"][None]})
        # the whole picture has 8 × 8 codes, the tokenizer's own encoder side half of it
        assert vectors.shape == (1, 4, 4, 4)
        assert b["codes"].shape == (64,)
        expected = phase.tokenizer.encode(a["images"][None], encode_px=SIZE_PX)
        assert torch.equal(b["codes"], expected[0])


def test_extraction_goes_on_where_it_stopped(chain, monkeypatch):
    monkeypatch.setattr("layton.training.data.extract._PART_SIZE", 4)
    folder = run_extract("pairs", chain, output=str(chain / "parts"))
    parts = sorted(folder.glob("part-*.safetensors"))
    assert [len(json.loads(p.with_suffix(".json").read_text())) for p in parts] == [4, 2]
    whole = parts[1].read_bytes()
    kept = parts[0].stat().st_mtime_ns
    parts[1].unlink()
    run_extract("pairs", chain, output=str(chain / "parts"))
    assert parts[0].stat().st_mtime_ns == kept
    assert parts[1].read_bytes() == whole


def test_extraction_does_not_mix_parts_of_other_recipes_or_models(chain, tmp_path):
    fields = {"output": str(tmp_path / "parts"), "vae": None, "variants": 1}
    run_extract("pairs", chain, **fields)
    run_extract("pairs", chain, **fields, batch_size=3)  # makes no difference to a sample
    for other in ({"size_px": 16}, {"vq": None, "tokenizer": str(chain / "consistency/model")}):
        with pytest.raises(ConfigError, match="parts of another recipe"):
            run_extract("pairs", chain, **{**fields, **other})
    shutil.copytree(chain / "vq/model", tmp_path / "vq")
    moved = {**fields, "output": str(tmp_path / "moved"), "vq": str(tmp_path / "vq")}
    run_extract("pairs", chain, **moved)
    recipe("vq", chain, seed=5).build().export(tmp_path / "vq")  # trained anew, say
    with pytest.raises(ConfigError, match="models that have changed"):
        run_extract("pairs", chain, **moved)


def test_the_export_is_the_moving_average_of_the_weights(chain, tmp_path):
    steps = [{"steps": 4, "batch_size": 2, "size_px": SIZE_PX}]
    trainer = Trainer(recipe("vae", chain, output=str(tmp_path / "run"), stages=steps))
    history = []
    after = trainer._after

    def watched(*arguments):
        history.append([p.detach().clone() for p in trainer.phase.trained_parameters()])
        after(*arguments)

    trainer._after = watched
    average = [p.detach().clone() for p in trainer.phase.trained_parameters()]
    trainer.run()
    for number, now in enumerate(history, 1):
        # diffusers' EMA takes the first weights whole, then warms up: (1 + n) / (10 + n)
        done = number - 1
        decay = 0.0 if done <= 0 else min(0.9, (1 + done) / (10 + done))
        average = [decay * a + (1 - decay) * n for a, n in zip(average, now, strict=True)]
    exported = weights(tmp_path / "run/model/vae")
    names = [n.removeprefix("vae.") for n, p in trainer.phase.named_parameters() if p.requires_grad]
    for name, expected in zip(names, average, strict=True):
        assert torch.allclose(exported[name], expected, atol=1e-6), name
    # the run itself goes on from the weights, not from their average
    last = load_file(tmp_path / "run/checkpoints/step-00000004/trained-0.safetensors")
    assert all(torch.equal(last[f"vae.{n}"], p) for n, p in zip(names, history[-1], strict=True))


def test_without_an_average_the_weights_are_exported(chain, tmp_path):
    train(recipe("vae", chain, output=str(tmp_path / "run"), ema_decay=None))
    exported = weights(tmp_path / "run/model/vae")
    last = load_file(tmp_path / "run/checkpoints/step-00000003/trained-0.safetensors")
    assert_equal(exported, part(last, "vae."))


def test_two_passes_are_one_step_of_the_whole_batch(chain, tmp_path):
    stages = [{"steps": 2, "batch_size": 4, "size_px": SIZE_PX}]
    runs = {}
    for passes in (1, 2):
        output = tmp_path / str(passes)
        train(
            recipe("diffusion", chain, output=str(output), stages=stages, accumulate=passes,
                   ema_decay=None)
        )  # fmt: skip
        runs[passes] = losses(output), weights(output / "model/unet")
    for one, two in zip(runs[1][0], runs[2][0], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    # Adam's first steps are ± lr whatever the gradient: those of nearly 0 may differ in sign
    differences = torch.cat([(runs[1][1][k] - t).flatten().abs() for k, t in runs[2][1].items()])
    assert float((differences > 2e-5).float().mean()) < 0.01


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_batch(
    chain, tmp_path, capsys, monkeypatch
):
    output = tmp_path / "run"
    train(recipe("vae", chain, output=str(output), sample_every=None))
    broken = recipe(
        "vae",
        chain,
        output=str(output),
        stages=[{"steps": 6, "batch_size": 2, "size_px": SIZE_PX}],
        reconstruction={"l1": 1e39},  # beyond float32
    )
    with pytest.raises(NonFiniteLossError, match="step 3: the loss is inf"):
        train(broken)
    (file,) = output.glob("non-finite-*.safetensors")
    assert file.name == "non-finite-step-3-process-0.safetensors"
    batch, stream = load_file(file), Stream(broken.data, seed=0)
    expected = [stream[i, SIZE_PX] for i in (6, 7)]  # steps 0–2 saw the first six
    assert torch.equal(batch["images"], torch.stack([e["images"] for e in expected]))
    assert batch["seeds"].tolist() == [int(e["seeds"]) for e in expected]
    # the newest checkpoint stays, and the run can go on from it
    assert [p.name for p in (output / "checkpoints").iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("name", ["vq", "vae", "consistency", "gpt"])
def test_a_stopped_run_goes_on_with_the_losses_it_would_have_had(chain, tmp_path, name):
    """Across stages, with moving averages, an adversary and its optimiser, a LoRA, dropout."""
    sizes = (SIZE_PX, SIZE_PX) if name == "gpt" else (SIZE_PX // 2, SIZE_PX)
    stages = [{"steps": 2, "batch_size": 2, "size_px": size} for size in sizes]
    fields = {"stages": stages, "sample_every": None}
    straight = recipe(name, chain, output=str(tmp_path / "straight"), **fields)
    train(straight)
    stopped = recipe(
        name, chain, output=str(tmp_path / "stopped"), **{**fields, "checkpoint_every": 1}
    )

    trainer = Trainer(stopped)
    after = trainer._after

    def until_three(batch, step):
        after(batch, step)
        if step == 3:
            raise KeyboardInterrupt

    trainer._after = until_three
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    train(stopped)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")
    assert_equal(checkpoint(tmp_path / "straight", 4), checkpoint(tmp_path / "stopped", 4))


def test_a_finished_run_is_not_run_again(chain):
    before = (chain / "vae/losses.jsonl").read_text()
    exported = weights(chain / "vae/model/vae")
    train(recipe("vae", chain))
    assert (chain / "vae/losses.jsonl").read_text() == before
    assert_equal(weights(chain / "vae/model/vae"), exported)


def test_another_recipes_checkpoint_is_refused(chain):
    changed = {"block_out_channels": [4, 4], "layers_per_block": 1, "norm_num_groups": 2}
    with pytest.raises(CheckpointError, match=r"step-00000003.*does not fit this recipe"):
        train(recipe("vae", chain, vae=changed))


def test_a_checkpoint_cut_short_is_not_found(chain, tmp_path):
    """A kill while one is written leaves a folder under another name."""
    output = tmp_path / "run"
    trainer = Trainer(recipe("vae", chain, output=str(output), sample_every=None))
    trainer.run()
    save = trainer.accelerator.save_state

    def killed(folder):
        save(folder)
        raise KeyboardInterrupt

    trainer.accelerator.save_state = killed
    with pytest.raises(KeyboardInterrupt):
        trainer.checkpoints.save(5)
    names = sorted(p.name for p in (output / "checkpoints").iterdir())
    assert names == [".writing-00000005", "step-00000003"]
    assert trainer.checkpoints.newest()[0] == 3
    trainer.accelerator.save_state = save
    trainer.checkpoints.save(5)
    assert [p.name for p in (output / "checkpoints").iterdir()] == ["step-00000005"]


def test_a_kill_in_the_middle_of_a_line_costs_that_line(chain, tmp_path):
    output = tmp_path / "run"
    train(recipe("vae", chain, output=str(output), sample_every=None))
    whole = losses(output)
    with (output / "losses.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 1.0}\n{"step": 5, "lo')
    train(recipe("vae", chain, output=str(output), sample_every=None))
    assert losses(output) == whole


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("vq", {"sources": [{"path": "ROOT/pairs", "kind": "extracted"}]}, "hold no images"),
        ("gpt", {"sources": [{"path": "ROOT/images"}]}, "hold no codes"),
    ],
)
def test_sources_without_what_a_phase_needs_are_refused(chain, tmp_path, name, data, message):
    data = json.loads(json.dumps(data).replace("ROOT", str(chain)))
    with pytest.raises(DataError, match=message):
        train(recipe(name, chain, output=str(tmp_path), data=data))


def test_the_command_trains_from_a_file(chain, tmp_path, monkeypatch, capsys):
    path = tmp_path / "vae.toml"
    path.write_text(
        f"""
        phase = "vae"
        output = "{tmp_path}/run"
        vae = {{ block_out_channels = [4, 8], layers_per_block = 1, norm_num_groups = 2 }}
        stages = [{{ steps = 9, batch_size = 2, size_px = 16 }}]
        data = {{ sources = [{{ path = "{chain}/images" }}] }}
        """
    )
    words = ["layton", "train", str(path), "--set", "stages.0.steps=2", "--set", "log_every=1"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"model → {tmp_path}/run/model\n"
    assert [line["step"] for line in losses(tmp_path / "run")] == [1, 2]


def test_batches_without_even_shares_are_refused(chain, monkeypatch):
    monkeypatch.setattr(engine_module.Accelerator, "num_processes", 4)
    with pytest.raises(
        ConfigError, match=r"stages\.0\.batch_size: 2 cannot be divided evenly by 4"
    ):
        Trainer(recipe("vae", chain))
