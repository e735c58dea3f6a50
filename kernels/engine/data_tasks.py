"""Tasks that gather: rows of the user's data become rows of a batch.

Only they see the user's data, by a `SOURCE`: addresses, steps in bytes and codes, so that every
array (read-only, sliced, memory-mapped) runs through the same machine code. Several sources may
fill columns of one matrix; the last lists what is not zero in it. B rows, I columns.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.isa import CACHE_LINE, ISA
from ..machine.kinds import Pointer, Real, Record, Word
from ..machine.memory import (
    advance,
    cast,
    float32_at,
    float64_at,
    get,
    get_offset,
    int32_at,
    int64_at,
    lane_count,
    load_converted,
    prefetch,
    put,
    store,
    uint8_at,
)
from ..machine.vectors import Vector, constant, fma, negative
from ..maths.lists import list_nonzero, list_size
from .splitting import TASK_ROWS

ARRAY, CSR, LABELS = range(3)
"""Kinds of sources: a 2-D array; a compressed sparse one (values, `indices` of `index_size` bytes
each, int64 `indptr`); int64 labels, of which label c means a 1 in column c."""

DTYPES = {np.dtype(np.uint8): 0, np.dtype(np.float32): 1, np.dtype(np.float64): 2}
"""The dtypes that are read, with their codes; uint8 means value / 255."""


def array_source(data: np.ndarray) -> tuple[int, ...]:
    """Return a 2-D array as the fields of a source.

    Raises
    ------
    TypeError
        If it is not an ndarray, has a mask, or a dtype other than uint8, float32 and float64 in
        native byte order.
    ValueError
        If it is not 2-D.
    """
    if not isinstance(data, np.ndarray) or isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"data must be an ndarray without a mask; got {type(data).__name__}")
    if data.ndim != 2:
        raise ValueError(f"data must have shape (N, I); got {data.shape}")
    if data.dtype not in DTYPES:
        known = ", ".join(str(dtype) for dtype in DTYPES)
        raise TypeError(f"data must be one of {known} in native byte order; got {data.dtype}")
    return ARRAY, DTYPES[data.dtype], data.ctypes.data, *data.strides, 0, 0, 0


@device_function
def gather_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """Rows order[first_row + b] of a source into rows b of a matrix, for a few rows.

    Where zeros are skipped, what is not zero in each row is listed.
    """
    first, last = task_rows(task, step)
    prefetch_next(last, region, step, memory)
    for b in range(first, last):
        place = gather_row(b, region, step, memory)
        list_row(place, b, region, step, memory)


@device_function
def task_rows(task: Word, step: Record) -> tuple[Word, Word]:
    """The first row of a task, and the first behind it."""
    first = task * TASK_ROWS
    return first, min(first + TASK_ROWS, step.n_rows)


@device_function
def prefetch_next(last: Word, region: Record, step: Record, memory: Record) -> None:
    """Ask for the next task's rows, which lie anywhere in memory: no hardware foresees them."""
    source = memory.sources[region.data_source]
    if source.kind == ARRAY:
        for b in range(last, min(last + TASK_ROWS, step.n_rows)):
            row = get(memory.order, step.first_row + b)
            ahead = uint8_at(source.address + row * source.row_step)
            for byte in range(0, region.n_in * source.column_step, CACHE_LINE):
                prefetch(ahead, byte)


@device_function
def gather_row(b: Word, region: Record, step: Record, memory: Record) -> Pointer:
    """Row b of the matrix, gathered."""
    place = advance(memory.work, region.target.offset + b * region.target.stride)
    source = memory.sources[region.data_source]
    _convert_row(place, region.n_in, source, get(memory.order, step.first_row + b))
    return place


@device_function
def list_row(place: Pointer, b: Word, region: Record, step: Record, memory: Record) -> None:
    """List what is not zero in row b, where that is asked for."""
    if step.skip_zeros != 0 and region.n_listed > 0:
        listed = advance(memory.by_row, b * list_size(region.n_listed))
        values = region.values.offset + b * region.values.stride
        start = advance(place, region.n_in - region.n_listed)
        list_nonzero(listed, advance(memory.work, values), start, region.n_listed)


@device_function
def _convert_row(out: Pointer, n: Word, source: Record, row: Word) -> None:
    """Convert a row of a source to out[0:n]."""
    if source.kind == ARRAY:
        address = source.address + row * source.row_step
        if source.dtype == 0:
            _convert(out, n, uint8_at(address), source.column_step, 1, 255.0)
        elif source.dtype == 1:
            _convert(out, n, float32_at(address), source.column_step, 4, 1.0)
        else:
            _convert(out, n, float64_at(address), source.column_step, 8, 1.0)
        return
    for c in range(n):
        put(out, c, cast(out, 0.0))
    if source.kind == LABELS:
        put(out, get(int64_at(source.address), row), cast(out, 1.0))
        return
    indptr = int64_at(source.indptr)
    for k in range(get(indptr, row), get(indptr, row + 1)):
        put(out, _column(source, k), _value(out, source, k))


@device_function
def _column(source: Record, k: Word) -> Word:
    """The column of entry k of a sparse source."""
    if source.index_size == 4:
        return np.int64(get(int32_at(source.indices), k))
    return get(int64_at(source.indices), k)


@device_function
def _value(like: Pointer, source: Record, k: Word) -> Real:
    """Entry k of a sparse source; one loop with a choice compiles in half the time of three."""
    if source.dtype == 0:
        return cast(like, get(uint8_at(source.address), k)) / cast(like, 255.0)
    if source.dtype == 1:
        return cast(like, get(float32_at(source.address), k))
    return cast(like, get(float64_at(source.address), k))


@device_function
def over_255(x: Vector) -> Vector:
    """x / 255 of whole numbers below 256, correctly rounded: a product, and what it lacks.

    So gathering 2048 rows takes an Intel core 0.87 of the time (bench/NOTES.md). The correction is
    that of Markstein (1990), see `maths.roots`.
    """
    divisor = constant(x, 255.0)
    if not ISA.fused:
        return x / divisor
    share = constant(x, 1.0 / 255.0)
    quotient = x * share
    return fma(fma(negative(quotient), divisor, x), share, quotient)


@device_function
def _convert(out: Pointer, n: Word, source: Pointer, step: Word, size: Word, divisor: Real) -> None:
    """out[0:n] = elements of `source`, `step` bytes apart and `size` bytes long, / divisor."""
    count = lane_count(out)
    whole = 0
    if step == size:
        whole = n - n % count
        for c in range(0, whole, count):
            value = load_converted(source, c, out)
            if divisor == 255.0:
                value = over_255(value)
            store(out, c, value)
    for c in range(whole, n):
        value = cast(out, get_offset(source, c * step))
        if divisor != 1.0:
            value = value / cast(out, divisor)
        put(out, c, value)
