"""Tasks of one packed dense layer: forward, loss, backward to the input, weight gradient.

A task owns tiles of the output and runs over the contracted index in ascending order, so
results do not depend on the number of threads. It reads its layer and its matrices from a row
of a program; weights are packed as `layout` says. MR rows and W columns make a tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import device_function
from ._tiles import (
    MR,
    NR,
    TILE_FLOATS,
    columns_product,
    columns_product_at,
    rows_product,
    rows_product_at,
)
from .activations import activate, activation_slope
from .latent import store_some
from .layout import TASK_TILES
from .losses import bernoulli_terms, gaussian_terms
from .optimizers import update_span
from .program import (
    AUX,
    EXTRA,
    FIRST_LAYER,
    FUNCTION,
    INPUTS,
    OUTPUTS,
    ROW_BIAS,
    ROW_WEIGHT,
    X,
    Y,
)
from .simd import (
    advance,
    cast,
    constant,
    get,
    lane_count,
    load,
    nonzero_bits,
    pointer,
    prefetch,
    put,
    splat,
    stack,
    store,
    sum_eight,
    transpose_square,
)

CHUNK_TILES = 8
"""Tiles of rows in one task of the forward pass."""


@device_function
def forward_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, work: Any, out: Any, columns: Any, skip: Any
) -> None:
    """y = activation(x W^T + b), tiles of one panel of y.

    With `skip`, `columns` lists for each block of MR rows the columns of x that are not all
    zero, and only these are multiplied.
    """
    base = pointer(parameters)
    tile = stack(base, TILE_FLOATS)
    spare = stack(base, 16)
    count = lane_count(base)
    width = NR * count
    n_in = row[INPUTS]
    chunks = (n_rows + CHUNK_TILES * MR - 1) // (CHUNK_TILES * MR)
    panel = task // chunks
    n_valid = row[OUTPUTS] - panel * width
    first = (task % chunks) * CHUNK_TILES * MR
    weights = advance(base, row[ROW_WEIGHT] + panel * n_in * width)
    bias = advance(base, row[ROW_BIAS] + panel * width)
    for b in range(first, min(first + CHUNK_TILES * MR, n_rows), MR):
        rows = min(MR, n_rows - b)
        x = advance(pointer(work), row[X] + b * row[X + 1])
        if skip and row[FIRST_LAYER]:
            listed = advance(pointer(columns), (b // MR) * (n_in + 1))
            length = np.int64(get(listed, 0))
            rows_product_at(
                tile, x, row[X + 1], rows - 1, weights, width, advance(listed, 1), length
            )
        else:
            rows_product(tile, x, row[X + 1], rows - 1, weights, width, n_in)
        for r in range(rows):
            y = advance(pointer(out), row[Y] + (b + r) * row[Y + 1] + panel * width)
            for v in range(0, width, count):
                value = activate(load(tile, r * width + v) + load(bias, v), row[FUNCTION])
                store_some(y, v, value, n_valid - v, spare)


@device_function
def output_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, work: Any, likelihood: Any, scale: Any
) -> None:
    """The last layer's tiles of one panel: loss against the data, scale * dL/d(pre-activation).

    Losses are left as sums over groups of 8 columns.
    """
    base = pointer(parameters)
    buffers = pointer(work)
    tile = stack(base, TILE_FLOATS)
    spare = stack(base, 16)
    count = lane_count(base)
    width = NR * count
    n_in = row[INPUTS]
    chunks = (n_rows + CHUNK_TILES * MR - 1) // (CHUNK_TILES * MR)
    panel = task // chunks
    n_valid = min(width, row[OUTPUTS] - panel * width)
    first = (task % chunks) * CHUNK_TILES * MR
    weights = advance(base, row[ROW_WEIGHT] + panel * n_in * width)
    bias = advance(base, row[ROW_BIAS] + panel * width)
    factor = splat(cast(base, scale))
    for b in range(first, min(first + CHUNK_TILES * MR, n_rows), MR):
        rows = min(MR, n_rows - b)
        h = advance(buffers, row[X] + b * row[X + 1])
        rows_product(tile, h, row[X + 1], rows - 1, weights, width, n_in)
        for r in range(rows):
            x = advance(buffers, row[AUX] + (b + r) * row[AUX + 1] + panel * width)
            delta = advance(buffers, row[Y] + (b + r) * row[Y + 1] + panel * width)
            for v in range(0, width, count):
                logit = load(tile, r * width + v) + load(bias, v)
                if likelihood == 0:
                    loss, slope = bernoulli_terms(logit, load(x, v))
                    slope = slope * factor
                else:
                    output = activate(logit, row[FUNCTION])
                    loss, slope = gaussian_terms(output, load(x, v))
                    slope = slope * factor * activation_slope(output, row[FUNCTION])
                store(tile, r * width + v, loss)
                store_some(delta, v, slope, n_valid - v, spare)
            for j in range(n_valid, width):
                put(tile, r * width + j, cast(base, 0.0))
            sums = row[EXTRA] + (b + r) * row[EXTRA + 1] + panel * (width // 8)
            for group in range((n_valid + 7) // 8):
                put(buffers, sums + group, sum_eight(tile, r * width + 8 * group))


@device_function
def pack_transposed(out: Any, source: Any, stride: Any, n_columns: Any, n_rows: Any) -> None:
    """out[c * W + r] = source[r * stride + c] for r < n_rows <= W; other columns of out: 0."""
    count = lane_count(out)
    width = NR * count
    whole_rows = n_rows - n_rows % count
    whole_columns = n_columns - n_columns % count
    for r in range(0, whole_rows, count):
        for c in range(0, whole_columns, count):
            transpose_square(
                advance(out, c * width + r), width, advance(source, r * stride + c), stride
            )
        for c in range(whole_columns, n_columns):
            for j in range(r, r + count):
                put(out, c * width + j, get(source, j * stride + c))
    for c in range(n_columns):
        for r in range(whole_rows, n_rows):
            put(out, c * width + r, get(source, r * stride + c))
        for r in range(n_rows, width):
            put(out, c * width + r, cast(out, 0.0))


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
    tile = stack(base, TILE_FLOATS)
    spare = stack(base, 16)
    count = lane_count(base)
    width = NR * count
    n_out = row[OUTPUTS]
    first = task * width
    n_valid = min(width, row[INPUTS] - first)
    packed = advance(buffers, row[EXTRA] + thread * row[EXTRA + 1])
    for panel in range((n_out + width - 1) // width):
        source = advance(base, row[ROW_WEIGHT] + (panel * row[INPUTS] + first) * width)
        n_columns = min(width, n_out - panel * width)
        pack_transposed(advance(packed, panel * width * width), source, width, n_columns, n_valid)
    for b in range(0, n_rows, MR):
        rows = min(MR, n_rows - b)
        dy = advance(buffers, row[X] + b * row[X + 1])
        rows_product(tile, dy, row[X + 1], rows - 1, packed, width, n_out)
        for r in range(rows):
            h = advance(buffers, row[AUX] + (b + r) * row[AUX + 1] + first)
            dx = advance(buffers, row[Y] + (b + r) * row[Y + 1] + first)
            for v in range(0, width, count):
                slope = activation_slope(load(h, v), row[FUNCTION])
                value = load(tile, r * width + v) * slope
                store_some(dx, v, value, n_valid - v, spare)


@device_function
def _list_rows(listed: Any, x: Any, stride: Any, n_rows: Any) -> None:
    """List in listed[1:] the rows in which any of MR neighbouring columns is not zero."""
    n = np.int64(0)
    count = lane_count(x)
    for b in range(n_rows):
        bits = np.int64(0)
        for c in range(0, MR, count):
            bits |= nonzero_bits(load(x, b * stride + c)) << c
        put(listed, 1 + n, np.int32(b))
        n += np.int64(bits & ((1 << MR) - 1) != 0)
    put(listed, 0, np.int32(n))


@device_function
def backward_weight_task(
    task: Any, row: Any, n_rows: Any, parameters: Any, moment1: Any, moment2: Any, gradient: Any,
    work: Any, optimizer: Any, rule: Any, lists: Any, lists_at: Any, skip: Any,
) -> None:  # fmt: skip
    """dW = dy^T x and db, for a few tiles of inputs and all outputs.

    Each finished tile is stored in `gradient` (optimizer < 0), or its parameters and moments
    are updated while they are in the cache. With `skip`, rows in which all MR inputs of a tile
    are zero are left out of the product.
    """
    base = pointer(parameters)
    buffers = pointer(work)
    tile = stack(base, TILE_FLOATS)
    count = lane_count(base)
    width = NR * count
    n_in = row[INPUTS]
    first = task * TASK_TILES * MR
    last = min(first + TASK_TILES * MR, n_in)
    listed = advance(pointer(lists), lists_at)
    skips = skip and row[FIRST_LAYER] == 1
    if skips:
        for i in range(first, last, MR):
            here = advance(listed, ((i - first) // MR) * (n_rows + 1))
            _list_rows(here, advance(buffers, row[X] + i), row[X + 1], n_rows)
    for panel in range((row[OUTPUTS] + width - 1) // width):
        dy = advance(buffers, row[AUX] + panel * width)
        for i in range(first, last, MR):
            rows = min(MR, last - i)
            place = row[ROW_WEIGHT] + (panel * n_in + i) * width
            if optimizer >= 0:
                # The optimiser's state does not fit in the second-level cache: ask for it now,
                # so that it has arrived when the product is done.
                for line in range(0, rows * width, 16):
                    prefetch(base, place + line)
                    prefetch(pointer(moment1), place + line)
                    prefetch(pointer(moment2), place + line)
            x = advance(buffers, row[X] + i)
            if skips:
                here = advance(listed, ((i - first) // MR) * (n_rows + 1))
                length = np.int64(get(here, 0))
                columns_product_at(tile, x, row[X + 1], dy, row[AUX + 1], advance(here, 1), length)
            else:
                columns_product(tile, x, row[X + 1], dy, row[AUX + 1], n_rows)
            update_span(
                optimizer, parameters, moment1, moment2, gradient, tile, place, rows * width, rule
            )
        if first == 0:
            for v in range(0, width, count):
                total = constant(load(dy, v), 0.0)
                for b in range(n_rows):
                    total = total + load(dy, b * row[AUX + 1] + v)
                store(tile, v, total)
            place = row[ROW_BIAS] + panel * width
            update_span(optimizer, parameters, moment1, moment2, gradient, tile, place, width, rule)
