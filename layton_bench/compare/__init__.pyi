from .as_markdown import (
    comparison_rows as comparison_rows,
    run_lines as run_lines,
    to_markdown as to_markdown,
)
from .differences import Comparison as Comparison, compare as compare, holm as holm
from .paired_means import mean_difference as mean_difference
from .pairing import (
    check_comparable as check_comparable,
    pair_samples as pair_samples,
    paired_table as paired_table,
    paired_values as paired_values,
)
from .sheet import write_moved_sheet as write_moved_sheet
