"""What an accumulator has seen, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

State = dict[str, np.ndarray[Any, Any]]
"""Name → array of numbers, booleans or text (numpy's ``str_``). Objects are not allowed, so that a
state can be written to a file without pickle. Scalars are arrays of shape ()."""
