"""Procedural scenes: a prompt grammar, a renderer, and a judge that needs no weights.

    sample_prompts ──► compose ──► render ──► image ──► judge_image ──► correct, reason

The grammar has GenEval's six tasks over ten shapes and ten colours, with pairs of shape and colour
held out from training; ``write_folder`` and ``write_shards`` render captioned training data to
disk. docs/scenes.md shows examples, and how the judge was validated. The judge is imported from its
own module, because it imports scipy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
