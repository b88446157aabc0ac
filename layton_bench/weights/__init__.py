"""Files of parameters: what there is, where it is kept, how it is fetched and read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
