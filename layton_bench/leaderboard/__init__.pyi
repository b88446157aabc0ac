from .as_data import json_value as json_value
from .board import (
    BITS as BITS,
    Board as Board,
    Column as Column,
    boards as boards,
    cells as cells,
    headings as headings,
    is_best as is_best,
    notes as notes,
    ranked_value as ranked_value,
    signatures as signatures,
)
from .formats import Format as Format, render as render, write_leaderboard as write_leaderboard
from .ranks import ranking as ranking
from .rates import (
    FRONT_NOTE as FRONT_NOTE,
    on_front as on_front,
    quality_columns as quality_columns,
    rate_table as rate_table,
)
from .reported import (
    Reported as Reported,
    read_reported as read_reported,
    reported_values as reported_values,
)
from .selection import Selection as Selection, select as select
