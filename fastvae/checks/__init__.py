"""Checks of what the user gives: each error says what was given and what was expected.

Every public method checks its arguments here before it changes anything.
"""

from fastvae.checks.arrays import UINT8, finite, layer_input, parameter, rows
from fastvae.checks.scalars import MAX_COUNT, MAX_SEED, choice, count, dtype, integer, number, seed

__all__ = [
    "MAX_COUNT",
    "MAX_SEED",
    "UINT8",
    "choice",
    "count",
    "dtype",
    "finite",
    "integer",
    "layer_input",
    "number",
    "parameter",
    "rows",
    "seed",
]
