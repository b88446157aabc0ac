"""The one rule for reading pictures: file → bytes → RGB. `layton` and its harness both use it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
