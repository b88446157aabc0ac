"""The command line: each command parses, calls one function of a room below, and prints.

Commands import rooms, not their names (``from layton_bench import run as running``). A room is
imported when its first name is used, so that ``--help`` takes a third of a second.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
