from .availability import (
    build_metrics as build_metrics,
    computed as computed,
    metric_specs as metric_specs,
    unavailable_reason as unavailable_reason,
)
from .doctor import examine as examine
from .plugins import Plugins as Plugins
from .resolve import (
    find_model as find_model,
    load_model as load_model,
    parse_options as parse_options,
    resolve_model as resolve_model,
)
