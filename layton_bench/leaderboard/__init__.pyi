from .board import (
    ARROWS as ARROWS,
    BITS as BITS,
    Board as Board,
    Column as Column,
    boards as boards,
    cells as cells,
    display_name as display_name,
    format_value as format_value,
    headings as headings,
    is_best as is_best,
    json_value as json_value,
    marks as marks,
    notes as notes,
    ranked_value as ranked_value,
    signatures as signatures,
    to_markdown as to_markdown,
)
from .formats import Format as Format, render as render
from .pareto import on_front as on_front
from .ranks import rank_column as rank_column, rank_note as rank_note
from .rates import quality_columns as quality_columns, rate_table as rate_table
from .reported import read_reported as read_reported, reported_values as reported_values
from .selection import Selection as Selection, select as select
