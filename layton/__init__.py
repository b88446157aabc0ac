"""Layton: a Latent Consistency Tokenizer (arXiv 2503.08377), 1024 px images in 256 codes.

    from layton import Tokenizer

    tokenizer = Tokenizer.from_pretrained("layton-tokenizer.pth", name="layton-t")
    tokenizer.optimize_for_inference()
    codes = tokenizer.encode(images)                 # (B, 256) int64
    images = tokenizer.decode(codes, generator=[0, 1])

Names are imported when first used, so that `import layton` loads no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
