"""OpenCV, if it can be imported here.

pyiqa and facexlib install OpenCV's build with windows, over the one without. That build needs libGL
and libxcb, which a server or a slim image does not have, and then ``import cv2`` fails. OpenCV only
makes PSNR and SSIM faster: torch computes the same numbers.
"""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType

_log = logging.getLogger(__name__)


@cache
def opencv() -> ModuleType | None:
    """Return the module ``cv2``, or None. The reason is logged once."""
    try:
        import cv2
    except ImportError as error:
        _log.warning("OpenCV cannot be imported (%s): PSNR and SSIM are slower", error)
        return None
    return cv2
