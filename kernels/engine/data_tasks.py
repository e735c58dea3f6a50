"""Tasks that gather: rows of the user's data become rows of a batch.

Only they see the user's array. It is handed over as an address, two strides in bytes and a code of
the dtype, so that every array (read-only, sliced, memory-mapped) runs through the same machine
code. B rows, I columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..machine.compilation import device_function
from ..machine.memory import (
    advance,
    cast,
    float32_at,
    float64_at,
    get_offset,
    lane_count,
    load_converted,
    pointer,
    prefetch,
    put,
    store,
    uint8_at,
)
from ..machine.vectors import constant
from ..maths.lists import list_nonzero, list_size
from ..maths.tiles import CHUNK_ROWS, CHUNK_TILES, MR, tile_start
from .passes import AUX, INPUTS, Y

SOURCES = {np.dtype(np.uint8): 0, np.dtype(np.float32): 1, np.dtype(np.float64): 2}
"""The dtypes that gather reads, with their codes."""


@device_function
def _gather_typed(out: Any, n: Any, source: Any, step: Any, size: Any, divisor: Any) -> None:
    """out[0:n] = elements of `source`, `step` bytes apart and `size` bytes long, / divisor."""
    count = lane_count(out)
    whole = 0
    if step == size:
        whole = n - n % count
        for c in range(0, whole, count):
            value = load_converted(source, c, out)
            if divisor != 1.0:
                value = value / constant(value, divisor)
            store(out, c, value)
    for c in range(whole, n):
        value = cast(out, get_offset(source, c * step))
        if divisor != 1.0:
            value = value / cast(out, divisor)
        put(out, c, value)


@device_function
def gather_row(out: Any, n: Any, address: Any, step: Any, code: Any) -> None:
    """Convert one row at `address`, whose elements are `step` bytes apart, to out[0:n]."""
    if code == 0:
        _gather_typed(out, n, uint8_at(address), step, 1, 255.0)
    elif code == 1:
        _gather_typed(out, n, float32_at(address), step, 4, 1.0)
    else:
        _gather_typed(out, n, float64_at(address), step, 8, 1.0)


@device_function
def gather_task(
    task: Any, row: Any, n_rows: Any, work: Any, source: Any, order: Any, first_row: Any,
    by_row: Any, sparse: Any,
) -> None:  # fmt: skip
    """Rows order[first_row + b] of the data into rows b of a matrix, for a tile of rows.

    If `sparse`, what is not zero in each row is listed.
    """
    n = row[INPUTS]
    chunk = (task // CHUNK_TILES) * CHUNK_ROWS
    n_chunk = min(CHUNK_ROWS, n_rows - chunk)
    first = chunk + tile_start(task % CHUNK_TILES, n_chunk)
    last = chunk + tile_start(task % CHUNK_TILES + 1, n_chunk)
    for b in range(last, min(last + MR, n_rows)):
        # The next tile's rows lie anywhere in memory: no hardware foresees them.
        ahead = uint8_at(source[0] + order[first_row + b] * source[1])
        for byte in range(0, n * source[2], 64):
            prefetch(ahead, byte)
    for b in range(first, last):
        address = source[0] + order[first_row + b] * source[1]
        place = advance(pointer(work), row[Y] + b * row[Y + 1])
        gather_row(place, n, address, source[2], source[3])
        if sparse:
            listed = advance(pointer(by_row), b * list_size(n))
            values = advance(pointer(work), row[AUX] + b * row[AUX + 1])
            list_nonzero(listed, values, place, n)


def source_of(data: np.ndarray) -> tuple[int, int, int, int]:
    """Return what gather needs of a 2-D array: address, byte strides of rows and columns, code.

    Raises
    ------
    TypeError
        If it is no ndarray, has a mask, or a dtype other than uint8, float32 and float64 in native
        byte order.
    ValueError
        If it is not 2-D.
    """
    if not isinstance(data, np.ndarray) or isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"data must be an ndarray without a mask; got {type(data).__name__}")
    if data.ndim != 2:
        raise ValueError(f"data must have shape (N, I); got {data.shape}")
    if data.dtype not in SOURCES:
        known = ", ".join(str(dtype) for dtype in SOURCES)
        raise TypeError(f"data must be one of {known} in native byte order; got {data.dtype}")
    return data.ctypes.data, data.strides[0], data.strides[1], SOURCES[data.dtype]
