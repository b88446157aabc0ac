"""Recipes of every training phase at sizes that a test runs in a second, on drawn pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from layton.training.phases import recipe_kind
from layton.training.phases.base import PhaseRecipe
from layton.training.recipe import validate

SIZE_PX = 32
COLOURS = ["red", "green", "blue", "yellow"]
_RGB = [(220, 40, 40), (40, 200, 60), (50, 70, 220), (230, 220, 50)]

ENCODER = {
    "kind": "vq",
    "channels": 4,
    "num_res_blocks": 1,
    "encoder_ch_mult": [1, 2, 2],
    "decoder_ch_mult": [1, 2, 2],
    "z_channels": 8,
    "norm_num_groups": 2,
    "codebook_size": 16,
    "codebook_dim": 4,
}
VAE = {"block_out_channels": [4, 8], "layers_per_block": 1, "norm_num_groups": 2}
UNET = {
    "block_out_channels": [4, 8],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 1],
    "num_attention_heads": [1, 2],
    "cross_attention_dim": 8,
    "norm_num_groups": 2,
    "addition_time_embed_dim": 4,
    "pooled_text_dim": 4,
}
GPT = {
    "dim": 16,
    "num_layers": 1,
    "num_heads": 2,
    "condition": "text",
    "codebook_size": 16,
    "num_tokens": 16,
    "num_prefix_tokens": 6,
    "text_dim": 8,
    "hidden_multiple": 8,
}

# in the order in which each finds what the earlier ones exported; "pairs" and "codes" extract
CHAIN = (
    "vq", "vae", "pairs", "diffusion", "alignment", "distillation", "consistency", "codes", "gpt"
)  # fmt: skip


def draw_images(folder: Path, count: int = 6, size: tuple[int, int] = (40, 36)) -> Path:
    """Write captioned pictures: a disc of one colour on a slope of another."""
    folder.mkdir(parents=True)
    width, height = size
    y, x = np.mgrid[:height, :width]
    lines = []
    for number in range(count):
        disc, ground = number % 4, (number + 1 + number // 4) % 4
        slope = (0.4 + 0.6 * x / width)[..., None]
        pixels = slope * np.array(_RGB[ground])
        cx, cy = width * (0.3 + 0.07 * number), height * (0.4 + 0.03 * number)
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < (height / 4) ** 2] = _RGB[disc]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03d}.png")
        caption = f"a {COLOURS[disc]} disc on {COLOURS[ground]}"
        lines.append(json.dumps({"file_name": f"{number:03d}.png", "text": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def tables(name: str, root: Path, **changes: Any) -> dict[str, Any]:
    """The recipe of a link of the chain below `root`, as its TOML file would be read.

    `root/images` holds the pictures; earlier links have exported to `root/NAME/model`.
    """
    extracts = name in ("pairs", "codes")
    found = (_extraction if extracts else _training)(name, root)
    return {**found, **_OF_PHASE[name](root), **changes}


def recipe(name: str, root: Path, **changes: Any) -> PhaseRecipe:
    """The same, validated."""
    found = tables(name, root, **changes)
    return validate(recipe_kind(found, source=name), found, source=Path(name))


def losses(output: Path) -> list[dict[str, float]]:
    """The lines of a run's losses.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (output / "losses.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "samples_per_second"} for line in lines]


def checkpoint(output: Path, step: int) -> dict[str, Tensor]:
    """Everything trained that a run's checkpoint after `step` steps holds."""
    folder = output / f"checkpoints/step-{step:08d}"
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("trained-*.safetensors")):
        state |= {f"{path.stem}.{key}": tensor for key, tensor in load_file(path).items()}
    return state


def _training(name: str, root: Path) -> dict[str, Any]:
    return {
        "phase": name,
        "output": str(root / name),
        "stages": [{"steps": 3, "batch_size": 2, "size_px": SIZE_PX}],
        "data": {"sources": [{"path": str(root / "images")}]},
        "optimizer": {"lr": 1e-3},
        "ema_decay": 0.9,
        "log_every": 1,
        "sample_every": 3,
        "num_samples": 2,
        "checkpoint_every": 2,
        "keep_checkpoints": 1,
    }


def _extraction(name: str, root: Path) -> dict[str, Any]:
    return {
        "phase": "extract",
        "output": str(root / name),
        "size_px": SIZE_PX,
        "batch_size": 4,
        "data": {"sources": [{"path": str(root / "images")}], "flip": False},
    }


def _extracted(folder: Path) -> dict[str, Any]:
    return {"sources": [{"path": str(folder), "kind": "extracted"}]}


_OF_PHASE = {
    "vq": lambda root: {
        "encoder": ENCODER,
        "codebook": {"update": "ema", "revive_every": 2, "window": 256},
        "adversary": {"start_step": 1, "channels": 4, "num_layers": 2},
        "reconstruction": {"l1": 1.0, "chroma": 1.0},
    },
    "vae": lambda root: {"vae": VAE, "reconstruction": {"l1": 0.5, "ms_ssim": 0.2}},
    "pairs": lambda root: {
        "vq": str(root / "vq/model"),
        "vae": str(root / "vae/model"),
        "variants": 2,
        "data": {"sources": [{"path": str(root / "images")}], "min_area": 0.5},
    },
    "diffusion": lambda root: {
        "vae": str(root / "vae/model"),
        "unet": UNET,
        "data": _extracted(root / "pairs"),
        "noise": {"prediction": "v_prediction"},
    },
    "alignment": lambda root: {
        "base": str(root / "diffusion/model"),
        "vq": str(root / "vq/model"),
        "data": _extracted(root / "pairs"),
        "tokenizer": {
            "encoder": ENCODER,
            "image_px": SIZE_PX,
            "encode_px": SIZE_PX // 2,
            "encode_px_choices": [SIZE_PX // 2, SIZE_PX],
            "condition_channels": [4, 4],
            "noise": {"prediction": "v_prediction"},
            "sampler": {"kind": "ddim", "steps": 4},
        },
    },
    "distillation": lambda root: {
        "tokenizer": str(root / "alignment/model"),
        "data": _extracted(root / "pairs"),
        "lora": {"rank": 2, "alpha": 4},
    },
    "consistency": lambda root: {
        "tokenizer": str(root / "distillation/model"),
        "steps": 2,
        "lora": {"rank": 2, "alpha": 2},
        "reconstruction": {"l1": 1.0, "ms_ssim": 0.2},
    },
    "codes": lambda root: {"tokenizer": str(root / "consistency/model"), "size_px": SIZE_PX},
    "gpt": lambda root: {
        "gpt": GPT,
        "words": {"depth": 1, "num_heads": 2, "max_words": 8},
        "data": _extracted(root / "codes"),
        "tokenizer": str(root / "consistency/model"),
        "generator": {"tokenizer": "layton-small"},
    },
}


def write_toml(path: Path, found: dict[str, Any]) -> Path:
    """A recipe's tables as a TOML file."""
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in found.items()))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
