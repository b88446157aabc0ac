"""Tiny random networks of the real classes in the real folder layout, for GenEval's real path."""

import json

import torch


def tiny_mask2former(num_labels=80):
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        SwinConfig,
    )

    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=12,
        num_labels=num_labels,
    )
    model = Mask2FormerForUniversalSegmentation(config)
    with torch.no_grad():
        # random class scores near 1/81 would never pass a threshold: make them decided
        model.class_predictor.weight *= 60
    return model


def save_tiny_clip(folder):
    """A tiny CLIP with a tokenizer of single letters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    common = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    text = CLIPTextConfig(
        vocab_size=len(vocab),
        intermediate_size=32,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
        **common,
    )
    vision = CLIPVisionConfig(image_size=32, patch_size=8, intermediate_size=32, **common)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    CLIPModel(config).save_pretrained(folder)
