"""Where models lie that are called by a name: folders of one's own, then those of the package."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PACKAGED", "find_folder", "model_folders"]

PACKAGED = Path(__file__).parents[1] / "pretrained"
"""What the package itself brings."""

_VARIABLE = "LAYTON_MODELS"


def model_folders() -> tuple[Path, ...]:
    """Folders whose sub-folders are models, first come first served.

    The environment variable LAYTON_MODELS names folders of one's own, separated as in PATH.
    """
    own = os.environ.get(_VARIABLE, "").split(os.pathsep)
    return (*(Path(folder) for folder in own if folder), PACKAGED)


def find_folder(name: str) -> Path | None:
    """The folder of the model of that name, if there is one."""
    if not name or "/" in name or os.sep in name or name.startswith("."):
        return None
    return next((f / name for f in model_folders() if (f / name).is_dir()), None)
