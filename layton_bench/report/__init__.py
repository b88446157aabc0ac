"""The HTML report: a folder of pages that need no server and no network.

build.py      results folder → site folder, in one rename
boards.py     a leaderboard as its page shows it
plots.py      values → positions in a drawing; the SVG itself is templates/plots.html.j2
pictures.py   the worst and best samples that runs have kept, and which others there are
origins.py    where each run's numbers come from
templates/    Jinja, everything escaped
assets/       one style sheet, one script
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
