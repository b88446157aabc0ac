"""Training: every phase of Layton and LaytonGen from one engine.

    recipe (TOML) ──► data ──► batches ──► phase: losses ──► engine: step, checkpoint, report

A run is a pure function of its recipe. The seed and the position in the stream of samples decide
which images a step sees, how they are cropped, and which noise is added. A run that was killed
therefore continues with the same losses, and any number of processes can share the work.
docs/training.md is the guide.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
