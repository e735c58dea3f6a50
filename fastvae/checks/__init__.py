"""Checks of what the user gives: each error says what was given and what was expected.

Every public method checks its arguments here before it changes anything.
"""

from fastvae.checks.arrays import UINT8, finite, layer_input, lazy_rows, parameter, rows
from fastvae.checks.foreign import as_array, as_labels, is_one_row
from fastvae.checks.lazy import LazyRows
from fastvae.checks.naming import public
from fastvae.checks.nearest import did_you_mean
from fastvae.checks.scalars import (
    MAX_CLASSES,
    MAX_COUNT,
    MAX_SEED,
    choice,
    count,
    dtype,
    flag,
    integer,
    number,
    seed,
    size,
)
from fastvae.checks.scales import as_floats

__all__ = [
    "MAX_CLASSES",
    "MAX_COUNT",
    "MAX_SEED",
    "UINT8",
    "LazyRows",
    "as_array",
    "as_floats",
    "as_labels",
    "choice",
    "count",
    "did_you_mean",
    "dtype",
    "finite",
    "flag",
    "integer",
    "is_one_row",
    "layer_input",
    "lazy_rows",
    "number",
    "parameter",
    "public",
    "rows",
    "seed",
    "size",
]
