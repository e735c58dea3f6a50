"""Tasks of one packed dense layer: forward, loss, backward to the input, weight gradient.

A task owns tiles of the output and runs over the contracted index in ascending order, so
results do not depend on the number of threads. It reads its layer and its matrices from a row
of a program; weights are packed as `layout` says. MR rows and W columns make a tile.
"""

from __future__ import annotations

from typing import Any

from ..machine.compilation import device_function
from ..machine.memory import (
    advance,
    lane_count,
    load,
    load_row,
    pointer,
    prefetch,
    stack,
    store,
    store_some,
)
from ..machine.vectors import constant, numbers_from, select, sums_of_eight, trailing_zeros
from ..maths.activations import activate, activation_slope
from ..maths.likelihoods import bernoulli_terms, gaussian_terms
from ..maths.optimizers import update_span
from ..maths.packing import pack_transposed
from ..maths.tiles import (
    CHUNK_ROWS,
    CHUNK_TILES,
    MR,
    NR,
    TILE_FLOATS,
    columns_product,
    rows_product,
    tile_start,
)
from .passes import AUX, EXTRA, FUNCTION, INPUTS, OUTPUTS, ROW_BIAS, ROW_WEIGHT, TO_OUT, X, Y

LINE = 16
"""Elements of a cache line in float32; in float64 every line is asked for twice."""
BLOCK = 128
"""Contracted indices taken at a time: a part of a panel of 8 KB (AVX2) or 16 KB (AVX-512), which
stays in the first-level cache."""
TASK_TILES = 16
"""Tiles of inputs in one task of the weight gradient."""
LEAST_TASKS, LEAST_ROWS = 8, 32
"""Tasks that a product is split into where they still have so many rows."""
PACK_TILES = 8
"""Tiles of inputs packed by one task."""
_ROW_FLOATS = TILE_FLOATS // MR
_CHUNK_FLOATS = CHUNK_TILES * TILE_FLOATS
_TASK_FLOATS = TASK_TILES * TILE_FLOATS


@device_function
def _multiply(tiles: Any, x: Any, stride: Any, n_rows: Any, weights: Any, n_in: Any) -> None:
    """Products of n_rows rows of x with a panel of weights, left in `tiles`, MR rows each.

    The contracted index is taken in blocks whose part of the panel stays in the first-level
    cache; the next block, or the next panel, which follows in memory, is asked for meanwhile.
    """
    width = NR * lane_count(tiles)
    for start in range(0, n_in, BLOCK):
        block = advance(weights, start * width)
        length = min(BLOCK, n_in - start)
        following = advance(block, length * width)
        _multiply_block(tiles, x, stride, n_rows, block, start, length, following, width * width)


@device_function
def _multiply_block(
    tiles: Any, x: Any, stride: Any, n_rows: Any, block: Any, start: Any, length: Any,
    following: Any, following_stride: Any,
) -> None:  # fmt: skip
    """The part of _multiply from `start` on, whose weights are `block`.

    Meanwhile the weights of the next block are asked for: squares of width * width that lie
    `following_stride` apart, from `following` on.
    """
    width = NR * lane_count(tiles)
    n_tiles = (n_rows + MR - 1) // MR
    share = BLOCK * width // n_tiles + LINE
    gap = following_stride - width * width
    shift = trailing_zeros(width * width)
    for t in range(n_tiles):
        place = t * share
        while place < (t + 1) * share:
            square = place >> shift
            stop = min((t + 1) * share, (square + 1) << shift)
            for line in range(place, stop, LINE):
                prefetch(following, square * gap + line)
            place = stop
        b = tile_start(t, n_rows)
        rows_product(
            advance(tiles, b * width), advance(x, b * stride + start), stride,
            tile_start(t + 1, n_rows) - b, block, width, length, start > 0,
        )  # fmt: skip


@device_function
def rows_per_task(n_rows: Any, n_panels: Any, most: Any) -> Any:
    """How many rows, `most` at most, a task of a product with a panel of weights takes.

    A layer of few panels is split by rows, so that all threads have a part of it.
    """
    parts = (n_rows + most - 1) // most
    if parts * n_panels < LEAST_TASKS:
        wanted = (LEAST_TASKS + n_panels - 1) // n_panels
        parts = max(parts, min(wanted, (n_rows + LEAST_ROWS - 1) // LEAST_ROWS))
    rows = (n_rows + parts - 1) // parts
    return (rows + MR - 1) // MR * MR


@device_function
def _part_of(task: Any, n_rows: Any, n_panels: Any, most: Any) -> Any:
    """A task's panel, its first row and its number of rows."""
    part = rows_per_task(n_rows, n_panels, most)
    parts = (n_rows + part - 1) // part
    first = task % parts * part
    return task // parts, first, min(part, n_rows - first)


@device_function
def forward_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, work: Any, out: Any, first_row: Any
) -> None:
    """y = activation(x W^T + b), some rows of one panel of y.

    y is in the workspace, or the rows of `out` from `first_row` on.
    """
    base = pointer(parameters)
    tiles = stack(base, _CHUNK_FLOATS)
    spare = stack(base, _ROW_FLOATS)
    count = lane_count(base)
    width = NR * count
    n_in = row[INPUTS]
    n_panels = (row[OUTPUTS] + width - 1) // width
    panel, first, rows = _part_of(task, n_rows, n_panels, CHUNK_ROWS)
    n_valid = row[OUTPUTS] - panel * width
    weights = advance(base, row[ROW_WEIGHT] + panel * n_in * width)
    bias = advance(base, row[ROW_BIAS] + panel * width)
    x = advance(pointer(work), row[X] + first * row[X + 1])
    _multiply(tiles, x, row[X + 1], rows, weights, n_in)
    y_base = advance(pointer(work), row[Y])
    if row[TO_OUT] != 0:
        y_base = advance(pointer(out), first_row * row[Y + 1])
    for r in range(rows):
        y = advance(y_base, (first + r) * row[Y + 1] + panel * width)
        value = activate(load_row(tiles, r * width) + load_row(bias, 0), row[FUNCTION])
        store_some(y, 0, value, n_valid, spare)


@device_function
def output_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, work: Any, likelihood: Any, scale: Any
) -> None:
    """Some rows of one panel of the last layer: loss against the data, and scale * its gradient
    by the pre-activations.

    Losses are left as sums over groups of 8 columns.
    """
    base = pointer(parameters)
    buffers = pointer(work)
    tiles = stack(base, _CHUNK_FLOATS)
    spare = stack(base, _ROW_FLOATS)
    count = lane_count(base)
    width = NR * count
    n_in = row[INPUTS]
    n_panels = (row[OUTPUTS] + width - 1) // width
    panel, first, rows = _part_of(task, n_rows, n_panels, CHUNK_ROWS)
    n_valid = row[OUTPUTS] - panel * width
    weights = advance(base, row[ROW_WEIGHT] + panel * n_in * width)
    bias = advance(base, row[ROW_BIAS] + panel * width)
    h = advance(buffers, row[X] + first * row[X + 1])
    _multiply(tiles, h, row[X + 1], rows, weights, n_in)
    for r in range(rows):
        x = advance(buffers, row[AUX] + (first + r) * row[AUX + 1] + panel * width)
        delta = advance(buffers, row[Y] + (first + r) * row[Y + 1] + panel * width)
        logit = load_row(tiles, r * width) + load_row(bias, 0)
        if likelihood == 0:
            loss, slope = bernoulli_terms(logit, load_row(x, 0))
            slope = slope * constant(slope, scale)
        else:
            output = activate(logit, row[FUNCTION])
            loss, slope = gaussian_terms(output, load_row(x, 0))
            slope = slope * constant(slope, scale) * activation_slope(output, row[FUNCTION])
        store_some(delta, 0, slope, n_valid, spare)
        if n_valid < width:  # what stands past the last column is no loss
            column = numbers_from(loss, 0)
            loss = select(column < constant(column, n_valid), loss, constant(loss, 0.0))
        sums = row[EXTRA] + (first + r) * row[EXTRA + 1] + panel * (width // 8)
        store(buffers, sums, sums_of_eight(loss))


@device_function
def backward_input_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, work: Any, thread: Any
) -> None:
    """dx = (dy W) * activation'(h), W columns of dx; h is the output of the layer below.

    Lanes are inputs, so the weights are wanted with inputs side by side: the task transposes
    its part of them into a buffer of its thread, where all rows find it in the cache.
    """
    base = pointer(parameters)
    buffers = pointer(work)
    tiles = stack(base, _CHUNK_FLOATS)
    spare = stack(base, _ROW_FLOATS)
    count = lane_count(base)
    width = NR * count
    n_out = row[OUTPUTS]
    panel, top, n_part = _part_of(task, n_rows, (row[INPUTS] + width - 1) // width, n_rows)
    begin = panel * width
    weights = advance(base, row[ROW_WEIGHT] + begin * width)
    n_valid = min(width, row[INPUTS] - begin)
    packed = advance(buffers, row[EXTRA] + thread * row[EXTRA + 1])
    square_stride = row[INPUTS] * width
    for first in range(top, top + n_part, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, top + n_part - first)
        dy = advance(buffers, row[X] + first * row[X + 1])
        for start in range(0, n_out, BLOCK):
            end = min(start + BLOCK, n_out)
            if first == top:
                for o in range(start, end, width):
                    pack_transposed(
                        advance(packed, o * width),
                        advance(weights, o // width * square_stride), width,
                        min(width, n_out - o), n_valid,
                    )  # fmt: skip
            # What is transposed next: of this panel, or at its end the beginning of the next.
            following = advance(weights, end // width * square_stride)
            if end == n_out:
                following = advance(weights, width * width)
            _multiply_block(
                tiles, dy, row[X + 1], rows, advance(packed, start * width), start, end - start,
                following, square_stride,
            )  # fmt: skip
        for r in range(rows):
            h = advance(buffers, row[AUX] + (first + r) * row[AUX + 1] + begin)
            dx = advance(buffers, row[Y] + (first + r) * row[Y + 1] + begin)
            value = load_row(tiles, r * width) * activation_slope(load_row(h, 0), row[FUNCTION])
            store_some(dx, 0, value, n_valid, spare)


@device_function
def pack_task(task: Any, row: Any, n_rows: Any, work: Any) -> None:
    """MR columns of x side by side, row after row, for each tile of the weight gradient.

    A task takes neighbouring tiles, since they share cache lines of x.
    """
    begin = task * PACK_TILES
    stride = row[X + 1]
    for tile in range(begin, min(begin + PACK_TILES, (row[INPUTS] + MR - 1) // MR)):
        x = advance(pointer(work), row[X] + tile * MR)
        packed = advance(pointer(work), row[Y] + tile * row[Y + 1])
        for b in range(n_rows):
            # What lies past MR is written over by the next row, or stays in the tile's pad.
            for c in range(0, MR, lane_count(x)):
                store(packed, b * MR + c, load(x, b * stride + c))


@device_function
def backward_weight_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, moment1: Any, moment2: Any, gradient: Any,
    work: Any, optimizer: Any, rule: Any,
) -> None:  # fmt: skip
    """dW = dy^T x and db, some tiles of one panel of outputs.

    The rows are taken in blocks whose part of dy stays in the first-level cache. Each finished
    tile is stored in `gradient` (optimizer < 0), or its parameters and moments are updated
    while they are in the cache.
    """
    base = pointer(parameters)
    buffers = pointer(work)
    tiles = stack(base, _TASK_FLOATS)
    width = NR * lane_count(base)
    n_in = row[INPUTS]
    chunks = (n_in + TASK_TILES * MR - 1) // (TASK_TILES * MR)
    panel = task // chunks
    first = (task % chunks) * TASK_TILES * MR
    last = min(first + TASK_TILES * MR, n_in)
    dy = advance(buffers, row[AUX] + panel * width)
    for start in range(0, n_rows, BLOCK):
        end = min(start + BLOCK, n_rows)
        for i in range(first, last, MR):
            _prefetch_next_rows(dy, row[AUX + 1], start, n_rows, (i - first) // MR)
            if optimizer >= 0 and end == n_rows:
                prefetch_state(parameters, moment1, moment2, row, panel, i, min(MR, last - i))
            tile = advance(tiles, (i - first) * width)
            packed = advance(buffers, row[Y] + (i // MR) * row[Y + 1])
            columns_product(
                tile, advance(packed, start * MR), advance(dy, start * row[AUX + 1]),
                row[AUX + 1], end - start, start > 0,
            )  # fmt: skip
    update_span(
        optimizer, parameters, moment1, moment2, gradient, tiles,
        row[ROW_WEIGHT] + (panel * n_in + first) * width, (last - first) * width, rule,
    )  # fmt: skip
    if first == 0:
        backward_bias(
            panel, row, n_rows, parameters, moment1, moment2, gradient, dy, optimizer, rule
        )


@device_function
def backward_bias(
    panel: Any, row: Any, n_rows: Any, parameters: Any, moment1: Any, moment2: Any,
    gradient: Any, dy: Any, optimizer: Any, rule: Any,
) -> None:  # fmt: skip
    """db = the sum of a panel of dy over the rows, stored or applied."""
    base = pointer(parameters)
    sums = stack(base, _ROW_FLOATS)
    count = lane_count(base)
    width = NR * count
    for v in range(0, width, count):
        total = constant(load(dy, v), 0.0)
        for b in range(n_rows):
            total = total + load(dy, b * row[AUX + 1] + v)
        store(sums, v, total)
    place = row[ROW_BIAS] + panel * width
    update_span(optimizer, parameters, moment1, moment2, gradient, sums, place, width, rule)


@device_function
def _prefetch_next_rows(dy: Any, stride: Any, start: Any, n_rows: Any, part: Any) -> None:
    """Ask for a part of the rows of dy that come next: the next block's, else the next panel's."""
    share = BLOCK // TASK_TILES
    first = start + BLOCK + part * share
    column = 0
    if start + BLOCK >= n_rows:
        first = part * share
        column = NR * lane_count(dy)
    for b in range(first, min(first + share, n_rows)):
        prefetch(dy, b * stride + column)


@device_function
def prefetch_state(
    parameters: Any, moment1: Any, moment2: Any, row: Any, panel: Any, i: Any, rows: Any
) -> None:
    """Ask for a tile's parameters and moments, so that they are there when its product is done:
    the optimiser's state does not fit in the second-level cache."""
    width = NR * lane_count(pointer(parameters))
    place = row[ROW_WEIGHT] + (panel * row[INPUTS] + i) * width
    for line in range(place, place + rows * width, LINE):
        prefetch(pointer(parameters), line)
        prefetch(pointer(moment1), line)
        prefetch(pointer(moment2), line)
