from .clock import (
    Clock as Clock,
    StageClock as StageClock,
    counted_flops as counted_flops,
    synchronize as synchronize,
)
from .devices import (
    parse_batch_size as parse_batch_size,
    resolve_device as resolve_device,
    starting_batch_size as starting_batch_size,
    torch_dtype as torch_dtype,
)
from .files import (
    cache_folder as cache_folder,
    open_regular as open_regular,
    read_regular as read_regular,
    sync as sync,
    write_whole as write_whole,
    writing_whole as writing_whole,
)
from .interrupts import (
    deferred_interrupt as deferred_interrupt,
    stop_code as stop_code,
    stops_raise as stops_raise,
)
from .memory import (
    allocated_device_mib as allocated_device_mib,
    is_out_of_memory as is_out_of_memory,
    keep_freed_memory as keep_freed_memory,
    peak_device_mib as peak_device_mib,
    peak_host_mib as peak_host_mib,
    recover as recover,
    reset_peak as reset_peak,
)
from .progress import Reporter as Reporter, Silent as Silent
from .provenance import (
    Provenance as Provenance,
    collect as collect,
    package_versions as package_versions,
)
from .temporary import remove_stale as remove_stale, temporary_folder as temporary_folder
from .texts import (
    decode_text as decode_text,
    lines_of as lines_of,
    parse_csv as parse_csv,
    parse_json as parse_json,
    read_csv as read_csv,
    read_json as read_json,
    read_text as read_text,
    read_toml as read_toml,
)
from .workers import available_cores as available_cores, map_ahead as map_ahead
