"""Layton: a Latent Consistency Tokenizer (arXiv 2503.08377)."""
