"""Tiny transformers for the tests: sizes, random weights, and those of the golden files."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from layton.generator.config import GPTConfig
from layton.generator.transformer import GPT
from layton.weights.checkpoint import load_strict, strip_prefix

CLASS = GPTConfig(
    dim=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    codebook_size=40,
    num_tokens=16,
    num_classes=7,
    hidden_multiple=32,
)
TEXT = GPTConfig(
    dim=48,
    num_layers=2,
    num_heads=3,
    condition="text",
    codebook_size=40,
    num_tokens=16,
    num_prefix_tokens=6,
    text_dim=20,
    hidden_multiple=32,
)
HEAVY = replace(TEXT, prefix_weight=5)
KEYED = replace(HEAVY, prefix_keys=True, num_heads=4, num_kv_heads=2)


def random_gpt(config: GPTConfig, *, seed: int = 0) -> GPT:
    """A model in evaluation mode whose logits are far from uniform."""
    torch.manual_seed(seed)
    model = GPT(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3) if parameter.ndim > 1 else parameter.uniform_(0.5, 1.5)
    return model


def random_texts(lengths: list[int], *, seed: int = 1) -> list[Tensor]:
    """Features of texts of these lengths, for TEXT."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, TEXT.text_dim, generator=generator) for length in lengths]


def golden_gpt(shared: Path, name: str) -> tuple[GPT, dict[str, Tensor], dict[str, float]]:
    """The model, tensors and settings of a golden file of the official code."""
    folder = shared / "parity/golden"
    tensors = load_file(folder / f"{name}.safetensors")
    settings = json.loads((folder / f"{name}.json").read_text())["config"]
    model = GPT(official_config(settings)).eval()
    load_strict(model, strip_prefix(tensors, "state."), source=name)
    return model, tensors, settings


def official_config(settings: dict[str, int]) -> GPTConfig:
    """Our sizes from those of the official configuration."""
    return GPTConfig(
        dim=settings["dim"],
        num_layers=settings["n_layer"],
        num_heads=settings["n_head"],
        num_kv_heads=settings["n_kv_head"],
        condition={"c2i": "class", "t2i": "text"}[settings["model_type"]],
        codebook_size=settings["vocab_size"],
        num_tokens=settings["block_size"],
        num_prefix_tokens=settings["cls_token_num"],
        num_classes=settings["num_classes"],
        text_dim=settings["caption_dim"],
        hidden_multiple=settings["multiple_of"],
        rope_base=settings["rope_base"],
        norm_eps=settings["norm_eps"],
    )
