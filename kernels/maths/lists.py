"""Lists of what is not zero: of a row's columns, or of a column's rows.

A list of numbers below n has ceil(n / SPAN) + 1 marks, then the numbers, ascending; mark j says
how many of them are below j * SPAN. All are int32.
"""

import numpy as np
from numba.extending import register_jitable

from ..machine.compilation import device_function
from ..machine.isa import ISA
from ..machine.kinds import Pointer, Word
from ..machine.memory import advance, get, lane_count, load, put, store
from ..machine.vectors import compress, nonzero_bits, numbers_from, set_bits, trailing_zeros

SPAN = 64
"""Numbers between two marks: as many as one machine word has bits."""
_ROOM = 16
"""What may be written past the last number: a vector, less one."""


@register_jitable
def mark_count(n: Word) -> Word:
    """How many marks a list of numbers below n starts with."""
    return (n + SPAN - 1) // SPAN + 1


@register_jitable
def list_size(n: Word) -> Word:
    """Room for a list of numbers below n."""
    return mark_count(n) + n + _ROOM


@device_function
def _lowest(n: Word) -> Word:
    """The word whose n < 64 lowest bits are set. Bits are uint64: signed ones may overflow."""
    return (np.uint64(1) << n) - np.uint64(1)


@device_function
def _append_by_bits(
    numbers: Pointer, values: Pointer, length: Word, x: Pointer, n: Word, first: Word
) -> Word:
    count = lane_count(x)
    bits = np.uint64(0)
    for c in range(0, n, count):
        bits |= nonzero_bits(load(x, c)) << c
    if n < SPAN:  # what stands behind the last one does not count
        bits &= _lowest(n)
    while bits != np.uint64(0):
        place = trailing_zeros(bits)
        put(numbers, length, np.int32(first + place))
        put(values, length, get(x, place))
        length += 1
        bits &= bits - np.uint64(1)
    return length


@device_function
def _append_by_vectors(
    numbers: Pointer, values: Pointer, length: Word, x: Pointer, n: Word, first: Word
) -> Word:
    count = lane_count(x)
    for c in range(0, n, count):
        value = load(x, c)
        bits = nonzero_bits(value)
        if n - c < count:
            bits &= _lowest(n - c)
        if bits != np.uint64(0):  # an empty list's cache lines are left alone
            store(numbers, length, compress(numbers_from(value, first + c), bits))
            store(values, length, compress(value, bits))
            length += set_bits(bits)
    return length


append_nonzero = _append_by_vectors if ISA.compresses else _append_by_bits
"""append_nonzero(numbers, values, length, x, n, first): append to a list of `length` numbers
which of x[0:n], n <= SPAN, are not zero, counted from `first`, and these to `values`; return the
new length. Up to a vector more is written. NaN is not zero: it is listed, and shows in results."""


@device_function
def _append_lanes_by_bits(
    numbers: Pointer, length: Word, x: Pointer, first: Word, bits: Word
) -> Word:
    while bits != np.uint64(0):
        put(numbers, length, np.int32(first + trailing_zeros(bits)))
        length += 1
        bits &= bits - np.uint64(1)
    return length


@device_function
def _append_lanes_by_vector(
    numbers: Pointer, length: Word, x: Pointer, first: Word, bits: Word
) -> Word:
    store(numbers, length, compress(numbers_from(load(x, first), first), bits))
    return length + set_bits(bits)


_append_lanes = _append_lanes_by_vector if ISA.compresses else _append_lanes_by_bits


@device_function
def list_columns(numbers: Pointer, x: Pointer, stride: Word, n_rows: Word, n: Word) -> Word:
    """List the columns below n in which any of some rows is not zero; return how many there are.

    Up to a vector more is written.
    """
    count = lane_count(x)
    length = np.int64(0)
    for c in range(0, n, count):
        bits = np.uint64(0)
        for r in range(n_rows):
            bits |= nonzero_bits(load(x, r * stride + c))
        if n - c < count:
            bits &= _lowest(n - c)
        length = _append_lanes(numbers, length, x, c, bits)
    return length


@device_function
def list_nonzero(listed: Pointer, values: Pointer, x: Pointer, n: Word) -> None:
    """List which of x[0:n] are not zero, and put these side by side in `values`."""
    numbers = advance(listed, mark_count(n))
    length = np.int64(0)
    for start in range(0, n, SPAN):
        put(listed, start // SPAN, np.int32(length))
        part = advance(x, start)
        length = append_nonzero(numbers, values, length, part, min(SPAN, n - start), start)
    put(listed, mark_count(n) - 1, np.int32(length))
