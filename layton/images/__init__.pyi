from .decoding import MAX_PIXELS as MAX_PIXELS, MAX_SIDE_PX as MAX_SIDE_PX, decode_rgb as decode_rgb
from .reading import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    MAX_FILE_BYTES as MAX_FILE_BYTES,
    read_file as read_file,
)
