"""Folders of models that have a name: the user's own, then those of the package."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PACKAGED", "find_folder", "model_folders"]

PACKAGED = Path(__file__).parents[1] / "pretrained"
"""The folder of the models that ship with the package."""

_VARIABLE = "LAYTON_MODELS"


def model_folders() -> tuple[Path, ...]:
    """Return the folders whose sub-folders are models; the first one with a name counts.

    The environment variable LAYTON_MODELS names the user's folders, separated as in PATH.
    """
    own = os.environ.get(_VARIABLE, "").split(os.pathsep)
    return (*(Path(folder) for folder in own if folder), PACKAGED)


def find_folder(name: str) -> Path | None:
    """Return the folder of the model with that name, if there is one."""
    if not name or "/" in name or os.sep in name or name.startswith("."):
        return None
    return next((f / name for f in model_folders() if (f / name).is_dir()), None)
