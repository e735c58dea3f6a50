"""Tasks of a first layer most of whose inputs are exact zeros: only the others are multiplied.

One row (forward) or one input (weight gradient) is multiplied with WIDE panels at once, over a
list of what is not zero (`_lists`). Measured on MNIST, where 19 % of the pixels are not zero but
43 % of the columns of six rows: a third faster than tiles of rows that leave out what all their
rows leave out. Each element stays one chain in ascending order, and a product with zero changes
no sum while weights are finite; so the results are those of the dense tasks to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..machine.compilation import device_function
from ..machine.memory import (
    advance,
    get,
    lane_count,
    load_row,
    pointer,
    prefetch,
    put,
    stack,
    store_some,
)
from ..maths.activations import activate
from ..maths.lists import SPAN, append_nonzero, list_size, mark_count
from ..maths.optimizers import update_span
from ..maths.packing import pack_transposed
from ..maths.tiles import MR, NR, TILE_FLOATS, WIDE, listed_product
from .dense_tasks import backward_bias, prefetch_state
from .passes import AUX, EXTRA, FUNCTION, INPUTS, OUTPUTS, ROW_BIAS, ROW_WEIGHT, TO_OUT, X, Y

SPANS = 2
"""Spans taken at a time: of one, runs are so short that starting them costs more than the
first-level cache saves; four do not fit in it."""
SPARSE_ROWS = 64
"""Rows in one forward task."""
SPARSE_INPUTS = 96
"""Inputs in one task of the weight gradient."""
PREFETCH_ROWS = 8
"""From so many rows on, they need most of the weights together, and ask for all."""
_ROW_FLOATS = TILE_FLOATS // MR
_FORWARD_FLOATS = SPARSE_ROWS * WIDE * _ROW_FLOATS
_WEIGHT_FLOATS = SPARSE_INPUTS * WIDE * _ROW_FLOATS
_BLOCK_FLOATS = SPAN * SPAN


@device_function
def sparse_forward_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, work: Any, out: Any, first_row: Any,
    by_row: Any,
) -> None:  # fmt: skip
    """As forward_task, for WIDE panels of y; `by_row` lists each row's columns."""
    base = pointer(parameters)
    tiles = stack(base, _FORWARD_FLOATS)
    spare = stack(base, _ROW_FLOATS)
    width = NR * lane_count(base)
    n_in = row[INPUTS]
    n_marks = mark_count(n_in)
    chunks = (n_rows + SPARSE_ROWS - 1) // SPARSE_ROWS
    panel = (task // chunks) * WIDE
    n_panels = min(WIDE, (row[OUTPUTS] + width - 1) // width - panel)
    first = (task % chunks) * SPARSE_ROWS
    rows = min(SPARSE_ROWS, n_rows - first)
    weights = advance(base, row[ROW_WEIGHT] + panel * n_in * width)
    bias = advance(base, row[ROW_BIAS] + panel * width)
    ahead = 0
    if rows >= PREFETCH_ROWS:
        ahead = (SPANS * SPAN + rows - 1) // rows
    for span in range(0, n_marks - 1, SPANS):
        for r in range(rows):
            following = (span + SPANS) * SPAN + r * ahead
            for k in range(following, following + ahead):
                for p in range(n_panels):
                    prefetch(weights, (p * n_in + k) * width)
            listed = advance(pointer(by_row), (first + r) * list_size(n_in))
            begin = np.int64(get(listed, span))
            n = np.int64(get(listed, min(span + SPANS, n_marks - 1))) - begin
            if n > 0 or span == 0:
                values = advance(pointer(work), row[AUX] + (first + r) * row[AUX + 1] + begin)
                listed_product(
                    advance(tiles, r * WIDE * width), width, values, weights, n_in * width,
                    n_panels - 1, width, advance(listed, n_marks + begin), n, span > 0,
                )  # fmt: skip
    y_base = advance(pointer(work), row[Y])
    if row[TO_OUT] != 0:
        y_base = advance(pointer(out), first_row * row[Y + 1])
    for r in range(rows):
        for p in range(n_panels):
            y = advance(y_base, (first + r) * row[Y + 1] + (panel + p) * width)
            value = load_row(tiles, (r * WIDE + p) * width) + load_row(bias, p * width)
            n_valid = row[OUTPUTS] - (panel + p) * width
            store_some(y, 0, activate(value, row[FUNCTION]), n_valid, spare)


@device_function
def list_columns_task(task: Any, row: Any, n_rows: Any, work: Any, by_column: Any) -> None:
    """For each of SPAN columns of x, list the rows where it is not zero, with their values.

    Rows are transposed SPAN at a time, so that a column's values lie side by side.
    """
    base = pointer(work)
    columns = stack(base, _BLOCK_FLOATS)
    lengths = stack(pointer(by_column), SPAN)
    width = NR * lane_count(base)
    stride = row[X + 1]
    begin = task * SPAN
    n_columns = min(SPAN, row[INPUTS] - begin)
    n_marks = mark_count(n_rows)
    for c in range(n_columns):
        put(lengths, c, np.int32(0))
    for start in range(0, n_rows, SPAN):
        end = min(start + SPAN, n_rows)
        for b in range(start, end, width):
            x = advance(base, row[X] + b * stride + begin)
            panel = advance(columns, (b - start) * SPAN)
            pack_transposed(panel, x, stride, n_columns, min(width, end - b))
        for c in range(n_columns):
            listed = advance(pointer(by_column), (begin + c) * list_size(n_rows))
            numbers = advance(listed, n_marks)
            values = advance(base, row[EXTRA] + (begin + c) * row[EXTRA + 1])
            length = np.int64(get(lengths, c))
            put(listed, start // SPAN, np.int32(length))
            for b in range(start, end, width):
                column = advance(columns, (b - start) * SPAN + c * width)
                length = append_nonzero(numbers, values, length, column, width, b)
            put(lengths, c, np.int32(length))
    for c in range(n_columns):
        listed = advance(pointer(by_column), (begin + c) * list_size(n_rows))
        put(listed, n_marks - 1, get(lengths, c))


@device_function
def sparse_weight_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, moment1: Any, moment2: Any, gradient: Any,
    work: Any, optimizer: Any, rule: Any, by_column: Any,
) -> None:  # fmt: skip
    """As backward_weight_task, for some inputs of WIDE panels; `by_column` lists their rows."""
    base = pointer(parameters)
    buffers = pointer(work)
    tiles = stack(base, _WEIGHT_FLOATS)
    width = NR * lane_count(base)
    n_in = row[INPUTS]
    n_marks = mark_count(n_rows)
    chunks = (n_in + SPARSE_INPUTS - 1) // SPARSE_INPUTS
    panel = (task // chunks) * WIDE
    n_panels = min(WIDE, (row[OUTPUTS] + width - 1) // width - panel)
    first = (task % chunks) * SPARSE_INPUTS
    last = min(first + SPARSE_INPUTS, n_in)
    dy = advance(buffers, row[AUX] + panel * width)
    for span in range(0, n_marks - 1, SPANS):
        for i in range(first, last):
            if optimizer >= 0 and span == 0:
                for p in range(n_panels):
                    prefetch_state(parameters, moment1, moment2, row, panel + p, i, 1)
            listed = advance(pointer(by_column), i * list_size(n_rows))
            begin = np.int64(get(listed, span))
            n = np.int64(get(listed, min(span + SPANS, n_marks - 1))) - begin
            if n > 0 or span == 0:
                values = advance(buffers, row[EXTRA] + i * row[EXTRA + 1] + begin)
                listed_product(
                    advance(tiles, (i - first) * width), SPARSE_INPUTS * width, values, dy, width,
                    n_panels - 1, row[AUX + 1], advance(listed, n_marks + begin), n, span > 0,
                )  # fmt: skip
    for p in range(n_panels):
        place = row[ROW_WEIGHT] + ((panel + p) * n_in + first) * width
        update_span(
            optimizer, parameters, moment1, moment2, gradient,
            advance(tiles, p * SPARSE_INPUTS * width), place, (last - first) * width, rule,
        )  # fmt: skip
        if first == 0:
            backward_bias(
                panel + p, row, n_rows, parameters, moment1, moment2, gradient,
                advance(dy, p * width), optimizer, rule,
            )  # fmt: skip
