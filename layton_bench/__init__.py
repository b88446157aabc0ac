"""layton-bench: a benchmark harness for image tokenizers and text-to-image generators.

Users and plugin authors may rely on the names in ``__init__.pyi``; docs/plugins.md shows them in
use. They are imported when first used, so that ``import layton_bench`` costs nothing.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

try:
    __version__ = version("layton-bench")
except PackageNotFoundError:  # a bare checkout
    __version__ = "0+unknown"

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "__version__"])
