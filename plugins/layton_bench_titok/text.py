"""Text features for TA-TiTok: CLIP ViT-L/14@336's last hidden states at all 77 positions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton_bench import UserError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["text_features"]


def text_features(caption: str, folder: Path, *, length: int) -> Tensor:
    """Features of one caption, float32 (1, length, D), after the final layer norm.

    The row is padded with token 0. Transformers would pad with CLIP's end token, but the decoder
    reads the padding positions too, and was trained with OpenCLIP's padding.

    Args:
        caption: cut off after `length` − 2 tokens.
        folder: model and tokenizer in the layout of transformers; nothing is downloaded.
        length: text positions of the decoder.

    Raises:
        UserError: the folder does not hold the model.
    """
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    failed, remedy = "no CLIP text model can be loaded", "Install its weights again."
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        loaded: Any = CLIPTextModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers, tokenizers and safetensors raise anything
        reason = f"{failed} ({type(error).__name__}: {error})"
        raise UserError(str(folder), reason, remedy) from error
    model, told = loaded
    if missing := sorted(told["missing_keys"]):  # they would stay random
        raise UserError(str(folder), f"{failed} ({missing[0]} is missing)", remedy)
    ids = tokenizer(caption, truncation=True, max_length=length)["input_ids"]
    row = torch.tensor([ids + [0] * (length - len(ids))])
    with torch.inference_mode():
        features: Tensor = model.eval()(input_ids=row).last_hidden_state
    return features.float()
