from .archives import (
    Archive as Archive,
    Span as Span,
    read_index as read_index,
    read_span as read_span,
)
from .decoding import MAX_PIXELS as MAX_PIXELS, MAX_SIDE_PX as MAX_SIDE_PX, decode_rgb as decode_rgb
from .finding import (
    Found as Found,
    find_images as find_images,
    is_hidden as is_hidden,
    is_image_name as is_image_name,
)
from .reading import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    MAX_FILE_BYTES as MAX_FILE_BYTES,
    read_file as read_file,
)
