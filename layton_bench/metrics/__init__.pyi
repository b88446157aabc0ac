from .backbones import Backbone as Backbone, BackboneSpec as BackboneSpec
from .backbones.clip import MEAN as MEAN, STD as STD, load_clip as load_clip
from .backbones.pretrained import (
    load_pretrained as load_pretrained,
    require_files as require_files,
    unusable as unusable,
)
from .base import (
    Direction as Direction,
    Explains as Explains,
    Fails as Fails,
    Metric as Metric,
    MetricContext as MetricContext,
    MetricPattern as MetricPattern,
    MetricSpec as MetricSpec,
    PerSampleMetric as PerSampleMetric,
    badness as badness,
    influence_column as influence_column,
)
from .catalogue import BACKBONES as BACKBONES, METRICS as METRICS
from .checked import CheckedMetric as CheckedMetric
from .features import FeatureRunner as FeatureRunner
from .reference_cache import ReferenceCache as ReferenceCache
from .sample_rows import Failures as Failures, SampleRows as SampleRows, joined as joined
from .state import State as State
from .views import Viewed as Viewed
