"""`layton train --dry-run`: sizes of every phase without weights, and those of the full models."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_training import draw_images, recipe

import layton
from layton.cli import main
from layton.errors import ConfigError
from layton.tokenizer.config import config_to_json
from layton.tokenizer.lora import is_target
from layton.training import dry_run
from layton.training.dry_run import describe, estimate
from layton.training.phases import recipe_kind
from layton.training.recipe import read_toml, validate, with_overrides

FULL = Path(layton.__file__).parent / "recipes"


def counted(phase):
    modules = [phase, *([phase.adversary] if phase.adversary is not None else [])]
    parameters = [p for module in modules for p in module.parameters()]
    return (
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Configurations of a chain's exports, and as little else as building needs."""
    from layton import Tokenizer

    root = tmp_path_factory.mktemp("sizes")
    draw_images(root / "images", count=1)
    vq = recipe("vq", root).build()
    vq.export(root / "vq/model")
    vae = recipe("vae", root).build()
    vae.export(root / "vae/model")
    recipe("diffusion", root).build().export(root / "diffusion/model")
    tokenizer = recipe("alignment", root).build().tokenizer
    assert isinstance(tokenizer, Tokenizer)
    tokenizer.save_pretrained(root / "alignment/model")
    (root / "distillation/model").mkdir(parents=True)
    text = config_to_json(tokenizer.config)
    (root / "distillation/model/config.json").write_text(text)  # and no weights
    return root


@pytest.mark.parametrize(
    "name", ["vq", "vae", "diffusion", "alignment", "distillation", "consistency", "gpt"]
)
def test_counts_are_those_of_the_real_modules(root, name):
    changes = {}
    if name == "gpt":  # the captions' words are read from extracted parts: none here
        changes = {"words": None}
    chosen = recipe(name, root, **changes)
    found = estimate(chosen)
    if name == "consistency":
        chosen = recipe(name, root, tokenizer=str(root / "alignment/model"))
    total, trained = counted(chosen.build())
    assert sum(found.parameters.values()) == total
    assert sum(found.trained.values()) == trained
    # gradient, two moments and the average beside the weight; float32
    assert found.weight_bytes == 4 * (total + 4 * trained)
    assert found.activation_bytes > 0


def test_nothing_is_allocated_and_nothing_is_read(root, monkeypatch):
    """Building allocates on the meta device alone; a real tensor of size would be noticed."""
    chosen = recipe("consistency", root)
    with torch.device("meta"):
        phase = chosen.build(for_sizes=True)
    assert all(p.is_meta for p in phase.parameters())


def test_activations_grow_with_the_batch_and_the_largest_stage_counts(root):
    def activations(size_px, batch_size, **changes):
        stages = [{"steps": 1, "batch_size": batch_size, "size_px": size_px}]
        return estimate(recipe("vae", root, stages=stages, **changes)).activation_bytes

    one = activations(32, 1)
    assert activations(32, 4) == pytest.approx(4 * one, rel=0.05)
    assert activations(64, 1) == pytest.approx(4 * one, rel=0.05)  # attention is kept fused
    assert activations(32, 4, accumulate=2) == pytest.approx(2 * one, rel=0.05)
    stages = [{"steps": 1, "batch_size": 4, "size_px": px} for px in (16, 32, 16)]
    assert estimate(recipe("vae", root, stages=stages)).stage == 2


def test_checkpointing_keeps_less(root):
    plain = estimate(recipe("alignment", root, data=images(root))).activation_bytes
    saved = estimate(
        recipe("alignment", root, data=images(root), gradient_checkpointing=True)
    ).activation_bytes
    assert saved < 0.7 * plain


def images(root):
    return {"sources": [{"path": str(root / "images")}]}


def test_the_kept_activations_are_those_that_autograd_really_keeps(root):
    """The same forward pass with storage behind it keeps as many bytes."""
    chosen = recipe("vae", root)
    phase = chosen.build().eval()
    weights = {p.untyped_storage().data_ptr() for p in phase.parameters()}
    kept, alive = {}, []

    def keep(tensor):
        alive.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = {"seeds": torch.zeros(2, dtype=torch.int64), "images": torch.zeros(2, 3, 32, 32)}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outcome = phase(batch, 1 << 30)
    assert outcome.loss.requires_grad
    assert estimate(chosen).activation_bytes == pytest.approx(sum(kept.values()), rel=0.05)


def test_a_tokenizer_that_is_not_there_is_named(root, tmp_path):
    with pytest.raises(ConfigError, match=r"absent/config\.json: cannot be read"):
        describe(recipe("consistency", root, tokenizer=str(tmp_path / "absent")))


def full(name, *overrides):
    found = with_overrides(read_toml(FULL / name), overrides)
    return validate(recipe_kind(found, source=name), found, source=Path(name))


# of SDXL's U-Net, its copy, SDXL's VAE and LlamaGen's encoder, as docs/layton.md has them
UNET, COPY, VAE = 2_567_463_684, 1_251_010_256, 83_653_863
ENCODER = 29_300_232 + 131_072


def test_the_full_alignment_trains_the_copy_alone_as_the_guide_shows(monkeypatch):
    # counted above; here it would take longer than everything else together
    monkeypatch.setattr(dry_run, "_activation_bytes", lambda phase, recipe, stage: stage.size_px)
    batches = [f"stages.{stage}.batch_size=8" for stage in (0, 1)]
    lines = describe(full("layton/1-alignment.toml", "accumulate=2", *batches)).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:7]}
    assert rows["decoder.unet"] == [f"{UNET:,}", "0"]
    assert rows["vae"] == [f"{VAE:,}", "0"]
    assert [name for name, (_, trained) in rows.items() if trained != "0"] == ["decoder.controlnet"]
    assert rows["decoder.controlnet"] == [f"{COPY:,}", f"{COPY:,}"]
    guide = (FULL.parents[1] / "docs/training.md").read_text()
    assert all(line in guide for line in lines[:10])  # activations vary with torch
    assert lines[10].startswith("activations, stage 2, batch of 4")  # at 1024 px


def test_the_full_consistency_trains_copy_and_lora():
    # the published configuration stands for the folder that part 1 would have exported
    chosen = full("layton/2-consistency-t.toml", "tokenizer=layton-ladd")
    with torch.device("meta"):
        phase = chosen.build(for_sizes=True)
    unet = phase.tokenizer.decoder.unet
    total, trained = counted(phase)
    lora = sum(p.numel() for p in unet.parameters() if p.requires_grad)
    shapes = {n: p.shape for n, p in unet.named_parameters() if n.endswith(".base_layer.weight")}
    # r · (inputs + outputs) of every layer that the published LoRA files change
    assert lora == sum(64 * (shape.numel() // shape[0] + shape[0]) for shape in shapes.values())
    assert all(is_target(name.removesuffix(".base_layer.weight")) for name in shapes)
    assert sum(p.numel() for p in unet.parameters()) == UNET + lora
    assert trained == COPY + lora
    assert total == UNET + lora + COPY + VAE + ENCODER
    sampler = phase.tokenizer.config.sampler
    assert (sampler.kind, sampler.steps) == ("consistency", 3)


def test_the_full_transformer_has_its_published_size(capsys, monkeypatch):
    path = str(FULL / "laytongen/2-gpt.toml")
    monkeypatch.setattr(sys, "argv", ["layton", "train", path, "--dry-run"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["part", "parameters", "trained"]
    assert "in all" in out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("in all"))
    assert row[2:] == ["777,678,080", "777,678,080"]
    assert "GiB" in out
