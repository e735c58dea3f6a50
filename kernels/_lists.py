"""Lists of what is not zero: of a row's columns, or of a column's rows.

A list of numbers below n has ceil(n / SPAN) + 1 marks, then the numbers, ascending; mark j says
how many of them are below j * SPAN. All are int32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from ._jit import device_function
from .memory import advance, get, lane_count, load, put
from .simd import nonzero_bits, trailing_zeros

SPAN = 64
"""Numbers between two marks: as many as one machine word has bits."""


@register_jitable
def mark_count(n: Any) -> Any:
    """How many marks a list of numbers below n starts with."""
    return (n + SPAN - 1) // SPAN + 1


@register_jitable
def list_size(n: Any) -> Any:
    """Room for a list of numbers below n."""
    return mark_count(n) + n


@device_function
def list_nonzero(listed: Any, values: Any, x: Any, n: Any) -> None:
    """List which of x[0:n] are not zero, and put these side by side in `values`.

    NaN is not zero, so it is listed and stays visible.
    """
    count = lane_count(x)
    numbers = advance(listed, mark_count(n))
    length = np.int64(0)
    for start in range(0, n, SPAN):
        put(listed, start // SPAN, np.int32(length))
        bits = np.int64(0)
        for c in range(start, min(start + SPAN, n), count):
            bits |= nonzero_bits(load(x, c)) << (c - start)
        if n - start < SPAN:  # what stands behind the last number does not count
            bits &= (np.int64(1) << (n - start)) - 1
        while bits != 0:
            number = start + trailing_zeros(bits)
            put(numbers, length, np.int32(number))
            put(values, length, get(x, number))
            length += 1
            bits &= bits - 1
    put(listed, mark_count(n) - 1, np.int32(length))
