from .checkpoint import (
    check_model as check_model,
    load_model as load_model,
    load_strict as load_strict,
    read_state as read_state,
)
from .fingerprints import codebook_digest as codebook_digest, content_digest as content_digest
from .folder import (
    CONFIG_FILE as CONFIG_FILE,
    WEIGHTS_FILE as WEIGHTS_FILE,
    write_folder as write_folder,
)
from .keys import compare as compare, require_fit as require_fit
from .packed import pack_linears as pack_linears
from .shipped import find_folder as find_folder
