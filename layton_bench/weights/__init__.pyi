from .catalogue import WEIGHTS as WEIGHTS
from .checkpoint import load_state_dict as load_state_dict
from .download import sha256_of as sha256_of
from .pyiqa import entry_name as entry_name
from .store import (
    WeightsEntry as WeightsEntry,
    WeightsFile as WeightsFile,
    WeightsStatus as WeightsStatus,
    WeightsStore as WeightsStore,
    hub_file as hub_file,
)
