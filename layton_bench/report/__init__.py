"""The HTML report: a folder of pages that need no server and no network.

build.py      results folder → site folder, in one rename
boards.py     a leaderboard for its page
plots.py      values → positions in a drawing; templates/plots.html.j2 draws the SVG
pictures.py   the pictures that runs kept, and the worst cases of each model
origins.py    the provenance of each run
public.py     no absolute paths of the machine
templates/    Jinja; everything is escaped
assets/       one style sheet, one script
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
