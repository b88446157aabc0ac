from .comparable import (
    basis as basis,
    mixed_settings as mixed_settings,
    why_not_comparable as why_not_comparable,
)
from .description import (
    describe as describe,
    extremes as extremes,
    left_out as left_out,
    speed as speed,
)
from .folder import (
    CANDIDATE_DIGEST as CANDIDATE_DIGEST,
    IMAGES as IMAGES,
    REFERENCE_DIGEST as REFERENCE_DIGEST,
    read_record as read_record,
    read_samples as read_samples,
)
from .markdown import code as code, escape as escape, table as table
from .pictures import (
    picture_path as picture_path,
    read_picture as read_picture,
    write_contact_sheet as write_contact_sheet,
)
from .record import (
    Completeness as Completeness,
    DataInfo as DataInfo,
    MetricResult as MetricResult,
    ModelInfo as ModelInfo,
    RunRecord as RunRecord,
    SavedImage as SavedImage,
    SeedSpread as SeedSpread,
    Status as Status,
    Throughput as Throughput,
    Timing as Timing,
    json_schema as json_schema,
)
from .results import (
    StoredRun as StoredRun,
    find_existing as find_existing,
    find_run as find_run,
    latest as latest,
    model_folder as model_folder,
    run_key as run_key,
    safe_name as safe_name,
    stored_runs as stored_runs,
)
from .signatures import metric_label as metric_label, signature as signature
from .storing import (
    StorageError as StorageError,
    check_writable as check_writable,
    copy_images as copy_images,
    new_run_id as new_run_id,
    store as store,
)
from .tiles import TileRow as TileRow, difference_map as difference_map, tile_sheet as tile_sheet
from .words import (
    ARROWS as ARROWS,
    display_name as display_name,
    distinct_names as distinct_names,
    format_value as format_value,
    heading as heading,
    marks as marks,
    number as number,
)
