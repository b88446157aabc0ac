from .base import Dataset as Dataset, DatasetSpec as DatasetSpec
from .catalogue import DATASETS as DATASETS
from .fingerprints import (
    UNREADABLE as UNREADABLE,
    content_digests as content_digests,
    duplicates as duplicates,
    file_digests as file_digests,
    files_digest as files_digest,
    fingerprint as fingerprint,
    joined as joined,
    prompted_fingerprint as prompted_fingerprint,
    sample_digests as sample_digests,
)
from .layouts.embedded import open_photos as open_photos
from .layouts.pairs import Pairs as Pairs, pair_folders as pair_folders
from .loading import load as load, prompt_batches as prompt_batches
from .prompts import PromptDataset as PromptDataset, open_prompts as open_prompts
from .protocols import PROTOCOLS as PROTOCOLS, Protocol as Protocol, canonical as canonical
