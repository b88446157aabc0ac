"""Layton, the tokenizer: VQ encoder, U-Net with LADD, consistency decoder."""
