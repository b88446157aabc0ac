"""The colour photographs that scikit-image and scikit-learn ship inside their packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from layton_bench.errors import MissingDataError
from layton_bench.images import read_file
from layton_bench.types import Item

PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble-deep-field": ("skimage", "data/hubble_deep_field.jpg"),
    "immunohistochemistry": ("skimage", "data/ihc.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
"""Key → (package, path inside it). Left out: grey pictures, drawings, test charts, and the right
half of the stereo pair. All are in the packages' wheels; none is downloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPhotos:
    """Ten real photographs, in alphabetical order; an item's locator is (package, path)."""

    name: str = "photos"

    def items(self) -> Sequence[Item]:
        """Return the photographs."""
        return tuple(Item(key=key, locator=place) for key, place in PHOTOS.items())

    def source(self, item: Item) -> Path:
        """Return the file inside the installed package."""
        package, path = PHOTOS[item.key]
        return _package_folder(package) / path

    def read(self, item: Item) -> bytes:
        """Return the file's bytes; raises ImageError if it cannot be read."""
        return read_file(self.source(item))


def open_photos(root: Path | None = None) -> EmbeddedPhotos:  # noqa: ARG001, needs no data root
    """Open the photographs; raises MissingDataError if a package lacks one."""
    photos = EmbeddedPhotos()
    for item in photos.items():
        if not photos.source(item).is_file():
            raise MissingDataError(
                str(photos.source(item)),
                f"the installed {PHOTOS[item.key][0]} does not hold this photograph",
                "Reinstall it from its wheel: pip install --force-reinstall "
                "scikit-image scikit-learn",
            )
    return photos


def _package_folder(package: str) -> Path:
    # not imported: that takes a second, and workers need only the path
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDataError(
            f"package {package}", "it is not installed", "pip install scikit-image scikit-learn"
        )
    return Path(next(iter(spec.submodule_search_locations)))
