"""Training: every phase of Layton and LaytonGen from one engine.

    recipe (TOML) ──► data ──► batches ──► phase: losses ──► engine: step, checkpoint, report

A run is a pure function of its recipe. Which images a step sees, how they are cropped and which
noise is added follow from the seed and the position in the stream of samples alone, so that a run
that was killed goes on with the losses it would have had, and any number of processes share the
same work. docs/training.md is the guide.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
