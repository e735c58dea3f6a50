"""Dense layers on plain arrays: forward, backward to the input, to the weights, to the bias.

These serve `Dense` and `MLP` and are the oracle of the packed passes (`_dense_tasks`), whose bits
they share: the same tiles, fed from panels that each task packs for itself (the outputs of the
weight gradient are packed once for all). B rows, I inputs, O outputs; weights are (O, I).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..engine.dense_tasks import BLOCK
from ..machine.compilation import device_function, parallel_kernel
from ..machine.memory import (
    advance,
    cast,
    get,
    lane_count,
    load,
    load_some,
    pointer,
    put,
    stack,
    store,
    store_some,
)
from ..machine.vectors import constant
from ..maths.activations import activate
from ..maths.packing import pack_transposed
from ..maths.tiles import MR, NR, TILE_FLOATS, columns_product, rows_product
from .activations import activation_code
from .arguments import checked


@device_function
def _pack_columns(out: Any, width: Any, source: Any, stride: Any, n_rows: Any, n: Any) -> None:
    """out[r * width + c] = source[r * stride + c] for c < width, 0 where c >= n.

    n columns can be read from `source` on. Less than a vector past the last row of `out` may be
    written too.
    """
    count = lane_count(out)
    whole = (width + count - 1) // count * count
    for r in range(n_rows):
        if n >= whole:  # what lies past `width` is written over by the next row
            for c in range(0, whole, count):
                store(out, r * width + c, load(source, r * stride + c))
        else:
            for c in range(min(n, width)):
                put(out, r * width + c, get(source, r * stride + c))
            for c in range(n, width):
                put(out, r * width + c, cast(out, 0.0))


@device_function
def _store_tile(out: Any, stride: Any, tile: Any, rows: Any, n: Any) -> None:
    count = lane_count(out)
    width = NR * count
    spare = stack(out, 16)
    for r in range(rows):
        for v in range(0, min(n, width), count):
            store_some(out, r * stride + v, load(tile, r * width + v), n - v, spare)


@device_function
def _forward_panel(panel: Any, out: Any, x: Any, weight: Any, bias: Any, activation: Any) -> None:
    n_rows, n_in = x.shape
    n_out = out.shape[1]
    base = pointer(x)
    tile = stack(base, TILE_FLOATS)
    spare = stack(base, 16)
    count = lane_count(base)
    width = NR * count
    first = panel * width
    n = min(width, n_out - first)
    packed = np.empty(n_in * width, x.dtype)
    pack_transposed(pointer(packed), advance(pointer(weight), first * n_in), n_in, n_in, n)
    for row in range(0, n_rows, MR):
        rows = min(MR, n_rows - row)
        source = advance(base, row * n_in)
        rows_product(tile, source, n_in, rows, pointer(packed), width, n_in, False)
        for r in range(rows):
            for v in range(0, n, count):
                b = load_some(pointer(bias), first + v, n - v, spare)
                value = activate(load(tile, r * width + v) + b, activation)
                store_some(pointer(out), (row + r) * n_out + first + v, value, n - v, spare)


@device_function
def _backward_input_panel(panel: Any, dx: Any, dy: Any, weight: Any) -> None:
    n_rows, n_out = dy.shape
    n_in = dx.shape[1]
    base = pointer(dy)
    tile = stack(base, TILE_FLOATS)
    width = NR * lane_count(base)
    first = panel * width
    n = n_in - first
    packed = np.empty(n_out * width, dy.dtype)
    _pack_columns(pointer(packed), width, advance(pointer(weight), first), n_in, n_out, n)
    for row in range(0, n_rows, MR):
        rows = min(MR, n_rows - row)
        source = advance(base, row * n_out)
        rows_product(tile, source, n_out, rows, pointer(packed), width, n_out, False)
        _store_tile(advance(pointer(dx), row * n_in + first), n_in, tile, rows, n)


@device_function
def _backward_weight_panel(panel: Any, dweight: Any, packed: Any, x: Any) -> None:
    n_rows, n_in = x.shape
    n_out = dweight.shape[0]
    base = pointer(x)
    width = NR * lane_count(base)
    first = panel * width
    n = n_in - first
    inputs = np.empty(BLOCK * width, x.dtype)
    tiles = np.zeros(packed.shape[0] * MR * width, x.dtype)
    for start in range(0, n_rows, BLOCK):
        length = min(BLOCK, n_rows - start)
        source = advance(base, start * n_in + first)
        _pack_columns(pointer(inputs), width, source, n_in, length, n)
        for t in range(packed.shape[0]):
            outputs = advance(pointer(packed), t * packed.shape[1] + start * MR)
            tile = advance(pointer(tiles), t * MR * width)
            columns_product(tile, outputs, pointer(inputs), width, length, True)
    _store_tile(advance(pointer(dweight), first), n_in, pointer(tiles), n_out, n)


@device_function
def _backward_bias_block(first: Any, dbias: Any, dy: Any) -> None:
    n_rows, n_out = dy.shape
    base = pointer(dy)
    spare = stack(base, 16)
    n = n_out - first
    total = constant(load_some(base, first, 0, spare), 0.0)
    for b in range(n_rows):
        total = total + load_some(base, b * n_out + first, n, spare)
    store_some(pointer(dbias), first, total, n, spare)


@parallel_kernel
def _dense_forward(out: Any, x: Any, weight: Any, bias: Any, activation: Any) -> None:
    width = NR * lane_count(pointer(x))
    for panel in prange((out.shape[1] + width - 1) // width):
        _forward_panel(np.int64(panel), out, x, weight, bias, activation)


@parallel_kernel
def _dense_backward_input(dx: Any, dy: Any, weight: Any) -> None:
    width = NR * lane_count(pointer(dy))
    for panel in prange((dx.shape[1] + width - 1) // width):
        _backward_input_panel(np.int64(panel), dx, dy, weight)


@parallel_kernel
def _dense_backward_weight(dweight: Any, dy: Any, x: Any) -> None:
    width = NR * lane_count(pointer(dy))
    n_rows, n_out = dy.shape
    # A row is one tile: MR columns of dy side by side, row after row, and a vector's room.
    packed = np.empty(((n_out + MR - 1) // MR, n_rows * MR + 16), dy.dtype)
    for t in prange(packed.shape[0]):
        o = np.int64(t) * MR
        target = advance(pointer(packed), np.int64(t) * packed.shape[1])
        _pack_columns(target, MR, advance(pointer(dy), o), n_out, n_rows, n_out - o)
    for panel in prange((x.shape[1] + width - 1) // width):
        _backward_weight_panel(np.int64(panel), dweight, packed, x)


@parallel_kernel
def _dense_backward_bias(dbias: Any, dy: Any) -> None:
    count = lane_count(pointer(dy))
    for block in prange((dy.shape[1] + count - 1) // count):
        _backward_bias_block(np.int64(block) * count, dbias, dy)


def dense_forward(
    out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, activation: int
) -> None:
    """out = activation(x weight^T + bias).

    Parameters
    ----------
    out : ndarray, shape (B, O)
        Written.
    x : ndarray, shape (B, I)
    weight : ndarray, shape (O, I)
    bias : ndarray, shape (O,)
    activation : int
        A code of `ACTIVATIONS`.
    """
    code = activation_code(activation)
    arrays = checked("BO BI OI O", 1, in_place=False, out=out, x=x, weight=weight, bias=bias)
    _dense_forward(*arrays, code)


def dense_backward_input(dx: np.ndarray, dy: np.ndarray, weight: np.ndarray) -> None:
    """dx = dy weight.

    Parameters
    ----------
    dx : ndarray, shape (B, I)
        Written.
    dy : ndarray, shape (B, O)
        Gradient of the loss by the pre-activations.
    weight : ndarray, shape (O, I)
    """
    _dense_backward_input(*checked("BI BO OI", 1, in_place=False, dx=dx, dy=dy, weight=weight))


def dense_backward_weight(dweight: np.ndarray, dy: np.ndarray, x: np.ndarray) -> None:
    """dweight = dy^T x, summed over rows.

    Parameters
    ----------
    dweight : ndarray, shape (O, I)
        Written.
    dy : ndarray, shape (B, O)
        Gradient of the loss by the pre-activations.
    x : ndarray, shape (B, I)
    """
    _dense_backward_weight(*checked("OI BO BI", 1, in_place=False, dweight=dweight, dy=dy, x=x))


def dense_backward_bias(dbias: np.ndarray, dy: np.ndarray) -> None:
    """dbias = sum of dy over rows.

    Parameters
    ----------
    dbias : ndarray, shape (O,)
        Written.
    dy : ndarray, shape (B, O)
        Gradient of the loss by the pre-activations.
    """
    _dense_backward_bias(*checked("O BO", 1, in_place=False, dbias=dbias, dy=dy))
