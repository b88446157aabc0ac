"""CLIP's two towers (Radford et al. 2021).

Image towers are backbones. Their tap ``embedding`` is the projected image embedding. The input of
``clip-vit-l-14-336`` is that of CMMD's code: the largest central square, Pillow's bicubic resize to
336 px, rounded to uint8. The others get CLIP's own preprocessing: the shorter side to 224 px, then
the central square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.backbones.pillow import crop_then_resize, resize_then_crop

if TYPE_CHECKING:
    from torch import Tensor

    Resize = Callable[[Tensor, int], Tensor]

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HPSV2, HPSV2_FILE = "hpsv2", "HPS_v2.1_compressed.pt"
_MAX_TOKENS = 77


class ClipImages:
    """An image tower on uint8 RGB images of any size.

    Args:
        model: a ``CLIPVisionModelWithProjection`` in eval mode.
        resize: uint8 (B, 3, H, W) and a side → uint8 (B, 3, side, side).
        device: where the model is.
    """

    def __init__(self, model: Any, resize: Resize, *, device: str) -> None:
        self._model = model
        self._resize = resize
        self._device = device

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """Return tap → float32 features (B, D) of uint8 RGB images (B, 3, H, W)."""
        import torch

        with torch.inference_mode():
            side: int = self._model.config.image_size
            mean, std = (torch.tensor(v, device=self._device)[:, None, None] for v in (MEAN, STD))
            x = self._resize(images, side).to(self._device).float() / 255
            return {"embedding": self._model(pixel_values=(x - mean) / std).image_embeds}


class ClipTexts:
    """A text tower. It embeds each text once.

    Args:
        model: a ``CLIPTextModelWithProjection`` in eval mode.
        tokenizer: its ``CLIPTokenizer``. Texts of more than 77 tokens are cut.
        device: where the model is.
    """

    def __init__(self, model: Any, tokenizer: Any, *, device: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        self._known: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return projected embeddings of texts, float32 (B, D), on the CPU."""
        import torch

        lacking = [text for text in dict.fromkeys(texts) if text not in self._known]
        if lacking:
            tokens = self._tokenizer(
                lacking, padding="max_length", truncation=True, max_length=_MAX_TOKENS,
                return_tensors="pt",
            ).to(self._device)  # fmt: skip
            with torch.inference_mode():
                embeddings = self._model(**tokens).text_embeds.float().cpu()
            self._known |= dict(zip(lacking, embeddings, strict=True))
        return torch.stack([self._known[text] for text in texts])


def load_clip(folder: Path, *, name: str, device: str) -> Any:
    """Load both towers as one ``CLIPModel``. Raise MissingWeightsError if it is not there."""
    from transformers import CLIPModel

    from layton_bench.metrics.backbones.pretrained import load_pretrained

    return load_pretrained(CLIPModel, folder, name=name, device=device)


def load_texts(folder: Path, *, name: str, device: str) -> ClipTexts:
    """Load the text tower of a folder. Raise MissingWeightsError if it is not complete."""
    from transformers import CLIPTextModelWithProjection

    from layton_bench.metrics.backbones.pretrained import load_pretrained, tower_config

    model = load_pretrained(
        CLIPTextModelWithProjection, folder, name=name, device=device,
        config=tower_config(folder, "text", name=name),
    )  # fmt: skip
    return ClipTexts(model, load_tokenizer(folder, name=name), device=device)


def load_hpsv2_texts(folder: Path, *, device: str) -> ClipTexts:
    """Load HPSv2's text tower from open_clip's layout."""
    from layton_bench.metrics.backbones.open_clip import load_text_tower

    model = load_text_tower(folder, HPSV2_FILE, device=device)
    return ClipTexts(model, load_tokenizer(folder, name=HPSV2), device=device)


def load_tokenizer(folder: Path, *, name: str) -> Any:
    """Load the tokenizer from a folder's vocab.json and merges.txt."""
    from transformers import CLIPTokenizer

    from layton_bench.metrics.backbones.pretrained import require_files

    require_files(folder, ("vocab.json", "merges.txt"), name=name)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def _load(find: Callable[[str], Path], device: str, *, name: str, resize: Resize) -> ClipImages:
    from transformers import CLIPVisionModelWithProjection

    from layton_bench.metrics.backbones.pretrained import load_pretrained, tower_config

    folder = find(name)
    model = load_pretrained(
        CLIPVisionModelWithProjection, folder, name=name, device=device,
        config=tower_config(folder, "vision", name=name),
    )  # fmt: skip
    return ClipImages(model, resize, device=device)


def _load_hpsv2(find: Callable[[str], Path], device: str) -> ClipImages:
    from layton_bench.metrics.backbones.open_clip import load_image_tower

    model = load_image_tower(find(HPSV2), HPSV2_FILE, device=device)
    return ClipImages(model, resize_then_crop, device=device)


SPECS = (
    *(
        BackboneSpec(
            name=name,
            taps=("embedding",),
            weights=(name,),
            load=partial(_load, name=name, resize=resize),
        )
        for name, resize in (
            ("clip-vit-l-14-336", crop_then_resize),
            ("clip-vit-l-14", resize_then_crop),
            ("clip-vit-b-32", resize_then_crop),
            ("pickscore", resize_then_crop),
        )
    ),
    BackboneSpec(name=HPSV2, taps=("embedding",), weights=(HPSV2,), load=_load_hpsv2),
)
