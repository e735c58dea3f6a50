"""Tasks of a first layer most of whose inputs are exact zeros: only the others are multiplied.

One row (forward) or one input (weight gradient) is multiplied with WIDE panels at once, over a
list of what is not zero (`_lists`). Measured on MNIST, where 19 % of the pixels are not zero but
43 % of the columns of six rows: a third faster than tiles of rows that leave out what all their
rows leave out. Each element stays one chain in ascending order, and a product with zero changes
no sum while weights are finite; so the results are those of the dense tasks to the bit.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Record, Word
from ..machine.memory import (
    advance,
    get,
    lane_count,
    load_row,
    prefetch,
    put,
    stack,
    store_some,
)
from ..machine.sizes import ASKS, SPANS
from ..maths.activations import activate
from ..maths.lists import SPAN, append_nonzero, list_size, mark_count
from ..maths.packing import pack_transposed
from ..maths.tiles import NR, WIDE, listed_product
from .dense_tasks import (
    ROW_FLOATS,
    apply_span,
    backward_bias,
    blocks,
    panel_columns,
    prefetch_state,
    target_of,
)
from .records import STORE_MODE
from .row_blocks import goes_by_rows
from .splitting import SMALL_TASKS_EACH, part_size

SPARSE_ROWS, LEAST_SPARSE_ROWS = 64, 16
"""Rows in one forward task, at most, and where there are many members."""
SPARSE_INPUTS, LEAST_SPARSE_INPUTS = 96, 16
"""Inputs in one task of the weight gradient, at most, and where there are many members."""
PREFETCH_ROWS = 8
"""From so many rows on, they need most of the weights together, and ask for all."""
_FORWARD_FLOATS = SPARSE_ROWS * WIDE * ROW_FLOATS
_WEIGHT_FLOATS = SPARSE_INPUTS * WIDE * ROW_FLOATS
_BLOCK_FLOATS = SPAN * SPAN


@device_function
def _rows_per_task(n_rows: Word, n_groups: Word, region: Record, step: Record) -> Word:
    """How many rows a forward task takes, of `n_groups` groups of panels."""
    if goes_by_rows(region, step):
        return step.block_rows
    wanted = SMALL_TASKS_EACH * step.split_for
    return part_size(n_rows, SPARSE_ROWS, LEAST_SPARSE_ROWS, n_groups, wanted)


@device_function
def _inputs_per_task(n_in: Word, n_groups: Word, n_members: Word) -> Word:
    """How many inputs a task of the weight gradient takes, of `n_groups` groups of panels."""
    wanted = SMALL_TASKS_EACH * n_members
    return part_size(n_in, SPARSE_INPUTS, LEAST_SPARSE_INPUTS, n_groups, wanted)


@device_function
def sparse_forward_count(region: Record, n_rows: Word, width: Word, step: Record) -> Word:
    """Tasks of a layer's output: some rows of WIDE panels each."""
    n_groups = blocks(region.n_out, WIDE * width)
    return n_groups * blocks(n_rows, _rows_per_task(n_rows, n_groups, region, step))


@device_function
def sparse_forward_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """As `forward_task`, for WIDE panels of y, by the lists of each row's columns."""
    base = memory.parameters
    tiles = stack(base, _FORWARD_FLOATS)
    width = panel_columns(memory)
    n_in = region.n_in
    n_marks = mark_count(n_in)
    part = _rows_per_task(step.n_rows, blocks(region.n_out, WIDE * width), region, step)
    chunks = blocks(step.n_rows, part)
    panel = (task // chunks) * WIDE
    n_panels = min(WIDE, blocks(region.n_out, width) - panel)
    first = (task % chunks) * part
    rows = min(part, step.n_rows - first)
    weights = advance(base, region.weight + panel * n_in * width)
    bias = advance(base, region.bias + panel * width)
    panels = (weights, n_in * width, width, n_panels - 1)
    ahead = 0
    if rows >= PREFETCH_ROWS:
        ahead = (SPANS * SPAN + rows - 1) // rows
    for span in range(0, n_marks - 1, SPANS):
        for r in range(rows):
            following = (span + SPANS) * SPAN + r * ahead
            for k in range(following, following + ahead):
                for p in range(n_panels):
                    prefetch(weights, (p * n_in + k) * width)
            listed = advance(memory.by_row, (first + r) * list_size(n_in))
            begin, n = _run_of(listed, span, n_marks)
            if n > 0 or span == 0:
                place = region.values.offset + (first + r) * region.values.stride + begin
                values = advance(memory.work, place)
                listed_product(
                    (advance(tiles, r * WIDE * width), width), values, panels,
                    (advance(listed, n_marks + begin), n), span > 0,
                )  # fmt: skip
    target = target_of(region, step, memory)
    for r in range(rows):
        for p in range(n_panels):
            y = advance(target, (first + r) * region.target.stride + (panel + p) * width)
            value = load_row(tiles, (r * WIDE + p) * width) + load_row(bias, p * width)
            n_valid = region.n_out - (panel + p) * width
            store_some(y, 0, activate(value, region.activation), n_valid)


@device_function
def _run_of(listed: Pointer, span: Word, n_marks: Word) -> Word:
    """Where SPANS spans of a list begin among its numbers, and how many there are."""
    begin = np.int64(get(listed, span))
    return begin, np.int64(get(listed, min(span + SPANS, n_marks - 1))) - begin


@device_function
def list_columns_count(region: Record) -> Word:
    """Tasks of listing: SPAN columns each."""
    return blocks(region.n_in, SPAN)


@device_function
def list_columns_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """For each of SPAN columns of x, list the rows where it is not zero, with their values.

    Rows are transposed SPAN at a time, so that a column's values lie side by side.
    """
    base = memory.work
    columns = stack(base, _BLOCK_FLOATS)
    lengths = stack(memory.by_column, SPAN)
    width = NR * lane_count(base)
    n_rows = step.n_rows
    stride = region.source.stride
    begin = task * SPAN
    n_columns = min(SPAN, region.n_in - begin)
    n_marks = mark_count(n_rows)
    for c in range(n_columns):
        put(lengths, c, np.int32(0))
    for start in range(0, n_rows, SPAN):
        end = min(start + SPAN, n_rows)
        for b in range(start, end, width):
            x = advance(base, region.source.offset + b * stride + begin)
            panel = advance(columns, (b - start) * SPAN)
            pack_transposed(panel, x, stride, n_columns, min(width, end - b))
        for c in range(n_columns):
            listed = advance(memory.by_column, (begin + c) * list_size(n_rows))
            numbers = advance(listed, n_marks)
            values = advance(base, region.values.offset + (begin + c) * region.values.stride)
            length = np.int64(get(lengths, c))
            put(listed, start // SPAN, np.int32(length))
            for b in range(start, end, width):
                column = advance(columns, (b - start) * SPAN + c * width)
                length = append_nonzero(numbers, values, length, column, width, b)
            put(lengths, c, np.int32(length))
    for c in range(n_columns):
        listed = advance(memory.by_column, (begin + c) * list_size(n_rows))
        put(listed, n_marks - 1, get(lengths, c))


@device_function
def sparse_weight_count(region: Record, width: Word, n_members: Word) -> Word:
    """Tasks of a weight gradient: some inputs of WIDE panels each."""
    n_groups = blocks(region.n_out, WIDE * width)
    return n_groups * blocks(region.n_in, _inputs_per_task(region.n_in, n_groups, n_members))


@device_function
def sparse_weight_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """As `backward_weight_task`, for some inputs of WIDE panels, by the lists of their rows."""
    base = memory.parameters
    work = memory.work
    tiles = stack(base, _WEIGHT_FLOATS)
    width = panel_columns(memory)
    n_in = region.n_in
    n_marks = mark_count(step.n_rows)
    part = _inputs_per_task(n_in, blocks(region.n_out, WIDE * width), step.split_for)
    chunks = blocks(n_in, part)
    panel = (task // chunks) * WIDE
    n_panels = min(WIDE, blocks(region.n_out, width) - panel)
    first = (task % chunks) * part
    last = min(first + part, n_in)
    dy = advance(work, region.delta.offset + panel * width)
    panels = (dy, width, region.delta.stride, n_panels - 1)
    for span in range(0, n_marks - 1, SPANS):
        for i in range(first, last):
            if ASKS and region.mode != STORE_MODE and span == 0:
                for p in range(n_panels):
                    prefetch_state(memory, region.weight + ((panel + p) * n_in + i) * width, width)
            listed = advance(memory.by_column, i * list_size(step.n_rows))
            begin, n = _run_of(listed, span, n_marks)
            if n > 0 or span == 0:
                values = advance(work, region.values.offset + i * region.values.stride + begin)
                listed_product(
                    (advance(tiles, (i - first) * width), SPARSE_INPUTS * width), values, panels,
                    (advance(listed, n_marks + begin), n), span > 0,
                )  # fmt: skip
    for p in range(n_panels):
        place = region.weight + ((panel + p) * n_in + first) * width
        tile = advance(tiles, p * SPARSE_INPUTS * width)
        apply_span(tile, place, (last - first) * width, region, step, memory)
        if first == 0:
            backward_bias(panel + p, advance(dy, p * width), region, step, memory)
