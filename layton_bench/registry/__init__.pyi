from .availability import (
    OWN_WEIGHTS as OWN_WEIGHTS,
    Computed as Computed,
    available as available,
    broken_metrics as broken_metrics,
    build_metrics as build_metrics,
    computed as computed,
    make_metric as make_metric,
    metric_specs as metric_specs,
    unavailable_reason as unavailable_reason,
)
from .code import code_of as code_of
from .discovery import OURS as OURS
from .doctor import examine as examine
from .plugins import Plugins as Plugins
from .resolve import (
    find_model as find_model,
    load_model as load_model,
    model_owner as model_owner,
    parse_options as parse_options,
    resolve_model as resolve_model,
)
