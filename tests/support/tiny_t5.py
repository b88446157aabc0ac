"""A T5 encoder small enough to build in a test, saved as published ones are."""

from pathlib import Path

import torch

WORDS = ["a", "red", "blue", "circle", "left", "of", "square", "photo", "cat"]
WIDTH = 16


def save_tiny_t5(folder: Path) -> Path:
    """Write encoder (random weights, WIDTH wide) and word tokenizer; the folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(vocabulary), feed_forward_proj="gated-gelu", **sizes)
    T5EncoderModel(config).save_pretrained(folder)
    return folder
