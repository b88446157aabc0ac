from .catalogue import WEIGHTS as WEIGHTS
from .checkpoint import load_state_dict as load_state_dict
from .digests import digest_of as digest_of, sha256_of as sha256_of
from .entries import (
    WeightsEntry as WeightsEntry,
    WeightsFile as WeightsFile,
    hub_file as hub_file,
)
from .pyiqa import entry_name as entry_name
from .store import WeightsStatus as WeightsStatus, WeightsStore as WeightsStore
