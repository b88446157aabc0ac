from .availability import (
    build_metrics as build_metrics,
    metric_specs as metric_specs,
    ranking_metric as ranking_metric,
    seed_name as seed_name,
    unavailable_reason as unavailable_reason,
    under_decode_seeds as under_decode_seeds,
)
from .doctor import examine as examine
from .plugins import Plugins as Plugins
from .resolve import (
    find_model as find_model,
    parse_options as parse_options,
    resolve_model as resolve_model,
)
