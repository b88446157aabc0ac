"""LoRA against PEFT's own forward pass; every naming, the original one against diffusers."""

import copy
import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from layton.errors import CheckpointError
from layton.tokenizer.lora import TARGETS, is_target, merge_lora, parse_lora, read_lora

peft = pytest.importorskip("peft")

RANK, ALPHA = 4, 2.0


@pytest.fixture
def unet(tiny_tokenizer):
    return tiny_tokenizer.decoder.unet


@pytest.fixture
def wrapped(unet):
    """The same U-Net with an unmerged random LoRA, by PEFT, and its state dict in PEFT's naming."""
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS))
    model = peft.get_peft_model(copy.deepcopy(unet), config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return model, peft.get_peft_model_state_dict(model)


@torch.no_grad()
def predict(unet):
    generator = torch.Generator().manual_seed(1)
    return unet(
        torch.randn(2, 4, 8, 8, generator=generator),
        300,
        encoder_hidden_states=torch.randn(2, 3, 12, generator=generator),
        added_cond_kwargs={
            "text_embeds": torch.randn(2, 6, generator=generator),
            "time_ids": torch.ones(2, 6),
        },
    ).sample


def test_merging_equals_pefts_unmerged_forward(unet, wrapped):
    model, state = wrapped
    before, expected = predict(unet), predict(model)
    count = merge_lora(unet, parse_lora(state, source="lora", alpha=ALPHA))
    assert count == len(state) // 2
    assert (expected - before).abs().max() > 0.05
    assert (predict(unet) - expected).abs().max() < 1e-5


def test_targets_are_those_peft_matches(unet, wrapped):
    model, _ = wrapped
    changed = {
        name.removeprefix("base_model.model.")
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
    }
    ours = {
        name
        for name, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and is_target(name)
    }
    assert ours == changed


def test_strength_scales_and_a_second_merge_of_the_opposite_undoes(unet, wrapped):
    _, state = wrapped
    original = {k: v.clone() for k, v in unet.state_dict().items()}
    lora = parse_lora(state, source="lora", alpha=ALPHA)
    merge_lora(unet, lora, strength=0.5)
    key = "mid_block.resnets.0.conv1"
    pair = lora[key]
    by_hand = torch.einsum("or,rikl->oikl", pair.up[:, :, 0, 0], pair.down) * 0.5 * ALPHA / RANK
    change = unet.state_dict()[f"{key}.weight"] - original[f"{key}.weight"]
    assert torch.allclose(change, by_hand, atol=1e-6)
    merge_lora(unet, lora, strength=-0.5)
    assert all(torch.allclose(original[k], v, atol=1e-6) for k, v in unet.state_dict().items())


def namings(state):
    """The LoRA as different tools would have saved it."""
    diffusers_naming = {f"unet.{k.removeprefix('base_model.model.')}": v for k, v in state.items()}
    old = {
        k.replace(".lora_A.", ".lora.down.").replace(".lora_B.", ".lora.up."): v
        for k, v in diffusers_naming.items()
    }
    layers = {k.removeprefix("base_model.model.").partition(".lora_")[0] for k in state}
    kohya = {}
    for layer in layers:
        flat = "lora_unet_" + layer.replace(".", "_")
        kohya[f"{flat}.lora_down.weight"] = state[f"base_model.model.{layer}.lora_A.weight"]
        kohya[f"{flat}.lora_up.weight"] = state[f"base_model.model.{layer}.lora_B.weight"]
        kohya[f"{flat}.alpha"] = torch.tensor(ALPHA)
    return {"peft": state, "diffusers": diffusers_naming, "old diffusers": old, "kohya": kohya}


@pytest.mark.parametrize("naming", ["peft", "diffusers", "old diffusers", "kohya"])
def test_every_naming_gives_the_same_weights(unet, wrapped, naming, tmp_path):
    model, state = wrapped
    expected = predict(model)
    renamed = namings(state)[naming]
    save_file({k: v.contiguous() for k, v in renamed.items()}, tmp_path / "lora.safetensors")
    if naming == "kohya":
        lora = read_lora(tmp_path / "lora.safetensors")  # states its alpha itself
    else:
        lora = parse_lora(renamed, source=naming, alpha=ALPHA)
    merge_lora(unet, lora)
    assert (predict(unet) - expected).abs().max() < 1e-5


def test_original_sdxl_names_are_those_diffusers_maps_back(unet, wrapped):
    from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers

    from layton.tokenizer.lora import _original_name

    # diffusers maps attention layers only, from the numbered blocks of the original code
    layers = [n for n, m in unet.named_modules() if isinstance(m, nn.Linear) and "attentions" in n]
    assert len(layers) > 50
    flat = {}
    for layer in layers:
        original = _original_name(layer, unet.config.layers_per_block).replace(".", "_")
        flat[f"lora_unet_{original}.lora_down.weight"] = layer
    back = _maybe_map_sgm_blocks_to_diffusers(dict(flat), unet.config)
    halves = {"input_blocks": "down_blocks", "middle_block": "mid_block", "output": "up"}
    for key, layer in back.items():
        for original, ours in halves.items():
            key = key.replace(original, ours)
        assert key == f"lora_unet_{layer.replace('.', '_')}.lora_down.weight"
    # and a file in that naming merges
    _, state = wrapped
    pair = {side: state[f"base_model.model.{layers[0]}.lora_{side}.weight"] for side in "AB"}
    name = next(key for key in flat if flat[key] == layers[0]).removesuffix(".lora_down.weight")
    lora = parse_lora(
        {f"{name}.lora_down.weight": pair["A"], f"{name}.lora_up.weight": pair["B"]}, source="x"
    )
    before = unet.get_submodule(layers[0]).weight.clone()
    assert merge_lora(unet, lora) == 1
    change = unet.get_submodule(layers[0]).weight - before
    assert torch.allclose(change, pair["B"] @ pair["A"], atol=1e-6)  # no alpha: scale 1


@pytest.mark.parametrize(
    ("diffusers_name", "original"),
    [
        ("down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"),
        ("mid_block.resnets.1.time_emb_proj", "middle_block.2.emb_layers.1"),
        ("up_blocks.0.resnets.2.conv2", "output_blocks.2.0.out_layers.3"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"),
        ("up_blocks.2.resnets.0.conv1", "output_blocks.6.0.in_layers.2"),
        ("conv_out", "out.2"),
        ("conv_in", "input_blocks.0.0"),
        ("add_embedding.linear_2", "label_emb.0.2"),
    ],
)
def test_original_names_of_convolutions(diffusers_name, original):
    # by the block numbering of the SDXL checkpoint (input 1–8, output 0–8)
    from layton.tokenizer.lora import _original_name

    assert _original_name(diffusers_name, 2) == original


def test_attention_processors_of_old_files():
    a, b = torch.zeros(2, 3), torch.zeros(3, 2)
    lora = parse_lora(
        {
            "unet.mid_block.attn1.processor.to_out_lora.down.weight": a,
            "unet.mid_block.attn1.processor.to_out_lora.up.weight": b,
        },
        source="x",
    )
    assert list(lora) == ["mid_block.attn1.to_out.0"]


def test_peft_folder(wrapped, unet, tmp_path):
    model, _ = wrapped
    expected = predict(model)
    model.save_pretrained(tmp_path)
    merge_lora(unet, read_lora(tmp_path))
    assert (predict(unet) - expected).abs().max() < 1e-5
    config = json.loads((tmp_path / "adapter_config.json").read_text()) | {"use_dora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="not a plain LoRA"):
        read_lora(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="lora_alpha"):
        read_lora(tmp_path)
    for damaged in (b"\xff{", b"{", b"[]", b"null", b'{"lora_alpha": "x"}', b'{"lora_alpha": [8]}'):
        (tmp_path / "adapter_config.json").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"adapter_config\.json: cannot be read"):
            read_lora(tmp_path)


def test_text_encoder_entries_are_left_out_and_others_refused():
    pair = {"lora_unet_conv_in.lora_down.weight": torch.zeros(1, 2)}
    pair["lora_unet_conv_in.lora_up.weight"] = torch.zeros(2, 1)
    text = {"lora_te1_x.lora_down.weight": torch.zeros(1), "text_encoder.x.alpha": torch.zeros(1)}
    assert list(parse_lora(pair | text, source="x")) == ["conv_in"]
    with pytest.raises(CheckpointError, match="hada_w1_a"):
        parse_lora(pair | {"lora_unet_x.hada_w1_a": torch.zeros(1)}, source="x")
    with pytest.raises(CheckpointError, match="conv_in has only one half"):
        parse_lora({"lora_unet_conv_in.lora_up.weight": torch.zeros(1)}, source="x")
    with pytest.raises(CheckpointError, match="no LoRA for a U-Net"):
        parse_lora(text, source="x")


def test_a_lora_for_another_unet_changes_nothing(unet):
    before = unet.conv_in.weight.clone()
    good = {"conv_in.lora_A.weight": torch.ones(1, 4, 3, 3)}
    good["conv_in.lora_B.weight"] = torch.ones(8, 1, 1, 1)
    absent = {"other.lora_A.weight": torch.ones(1, 2), "other.lora_B.weight": torch.ones(2, 1)}
    with pytest.raises(CheckpointError, match="no layer other"):
        merge_lora(unet, parse_lora(good | absent, source="x"))
    wrong = {"conv_out.lora_A.weight": torch.ones(1, 9, 3, 3)}
    wrong["conv_out.lora_B.weight"] = torch.ones(4, 1, 1, 1)
    with pytest.raises(CheckpointError, match=r"conv_out changes \(4, 9, 3, 3\)"):
        merge_lora(unet, parse_lora(good | wrong, source="x"))
    assert torch.equal(unet.conv_in.weight, before)
