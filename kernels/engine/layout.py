"""How a network lies in memory: one arena of parameters, one of workspace, and integer tables.

All weights and biases of a network stand in one 1-D arena per dtype; moments and gradients
use the same layout. A row of the layer table says where a layer is and what it does, so that
every architecture runs through the same machine code.

Weights are packed in panels of W = `panel_width` outputs: panel p holds, for each input i in
order, the weights of outputs p W .. p W + W - 1 side by side. The last panel is padded with
zeros, which stay zero. Workspace rows are padded to an odd number of cache lines, as rows at
powers of two would all fall into a few sets of the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..machine.isa import ISA, panel_width
from ..maths.activations import ACTIVATIONS
from ..maths.lists import list_size

# Columns of the layer table.
N_IN, N_OUT, ACTIVATION, WEIGHT, BIAS, PANELS = range(6)

# Rows of the workspace's table of places; layer l has its activations in row ACTIVE + l and
# the gradient of its pre-activations in row ACTIVE + n_layers + l. What is not zero in the input
# stands in ROW_VALUES and COLUMN_VALUES, in the order of its lists (`_lists`).
(
    INPUT,
    ROW_VALUES,
    COLUMN_VALUES,
    NOISE,
    LATENT,
    LATENT_GRADIENT,
    LOSS,
    PANEL,
    PACKED,
    ACTIVE,
) = range(10)
# Columns of that table.
OFFSET, STRIDE = range(2)

_LINE = 64


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def layer_table(layers: Sequence[tuple[int, int, str]], dtype: np.dtype | type) -> np.ndarray:
    """Lay out dense layers in one arena.

    Parameters
    ----------
    layers : sequence of (n_in, n_out, activation name)
    dtype : float32 or float64

    Returns
    -------
    ndarray of int64, shape (n_layers, 6)
        Columns: inputs, outputs, activation code, offset of the weights, offset of the biases,
        panels.
    """
    itemsize = np.dtype(dtype).itemsize
    width = panel_width(itemsize)
    line = _LINE // itemsize
    table = np.empty((len(layers), 6), np.int64)
    offset = 0
    for row, (n_in, n_out, activation) in zip(table, layers, strict=True):
        panels = -(-n_out // width)
        bias = _round_up(offset + panels * n_in * width, line)
        row[:] = n_in, n_out, ACTIVATIONS[activation], offset, bias, panels
        offset = _round_up(bias + panels * width, line)
    return table


def aligned_zeros(size: int, dtype: np.dtype | type) -> np.ndarray:
    """Return a zeroed 1-D array that starts on a cache line."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size * itemsize + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size * itemsize].view(dtype)


def arena_size(table: np.ndarray, dtype: np.dtype | type) -> int:
    """Return the elements of an arena for the layers of a table."""
    itemsize = np.dtype(dtype).itemsize
    end = table[-1, BIAS] + table[-1, PANELS] * panel_width(itemsize)
    return _round_up(int(end), _LINE // itemsize)


def new_arena(table: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return a zeroed 1-D arena for the layers of a table."""
    return aligned_zeros(arena_size(table, dtype), dtype)


def _places(table: np.ndarray, arena: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of a layer's weights as (panels, n_in, width) and of its padded biases."""
    n_in, _, _, weight, bias, panels = (int(v) for v in table[layer])
    width = panel_width(arena.itemsize)
    weights = arena[weight : weight + panels * n_in * width].reshape(panels, n_in, width)
    return weights, arena[bias : bias + panels * width]


def read_dense(
    table: np.ndarray, arena: np.ndarray, layer: int, first: int = 0, n_out: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Copy a layer's parameters, or those of its outputs first .. first + n_out - 1.

    Returns
    -------
    weight : ndarray, shape (n_out, n_in)
    bias : ndarray, shape (n_out,)
    """
    if n_out is None:
        n_out = int(table[layer, N_OUT]) - first
    weights, biases = _places(table, arena, layer)
    width = weights.shape[2]
    outputs = np.arange(first, first + n_out)
    weight = np.ascontiguousarray(weights[outputs // width, :, outputs % width])
    return weight, biases[first : first + n_out].copy()


def write_dense(
    table: np.ndarray,
    arena: np.ndarray,
    layer: int,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    first: int = 0,
) -> None:
    """Store parameters of a layer's outputs from `first` on; None leaves a part as it is.

    Parameters
    ----------
    weight : ndarray, shape (n_out, n_in), or None
    bias : ndarray, shape (n_out,), or None
    """
    weights, biases = _places(table, arena, layer)
    width = weights.shape[2]
    if weight is not None:
        outputs = np.arange(first, first + len(weight))
        weights[outputs // width, :, outputs % width] = weight
    if bias is not None:
        biases[first : first + len(bias)] = bias


def row_stride(n: int, itemsize: int) -> int:
    """Return the elements from row to row of a workspace matrix with n columns.

    Room for the last panel and for a vector or tile that starts at the last column, then the
    next odd number of cache lines.
    """
    line = _LINE // itemsize
    lines = -(-max(_round_up(n, panel_width(itemsize)), n + line) // line)
    return (lines | 1) * line


def workspace_places(
    table: np.ndarray, n_encoder: int, n_rows: int, n_threads: int, dtype: np.dtype | type
) -> tuple[np.ndarray, int]:
    """Lay out the workspace of a network for batches of up to `n_rows` rows.

    Returns
    -------
    places : ndarray of int64, shape (9 + 2 n_layers, 2)
        Offset and row stride of each matrix.
    size : int
        Elements of the workspace.
    """
    itemsize = np.dtype(dtype).itemsize
    line = _LINE // itemsize
    width = panel_width(itemsize)
    n_layers = len(table)
    n_inputs = int(table[0, N_IN])
    n_latent = int(table[n_encoder, N_OUT]) // 2
    n_outputs = int(table[-1, N_OUT])
    widest = int(table[:, N_OUT].max())
    places = np.zeros((ACTIVE + 2 * n_layers, 2), np.int64)
    places[INPUT, STRIDE] = row_stride(max(n_inputs, n_outputs), itemsize)
    places[ROW_VALUES, STRIDE] = row_stride(n_inputs, itemsize)
    places[COLUMN_VALUES, STRIDE] = row_stride(n_rows, itemsize)
    places[NOISE, STRIDE] = n_latent
    places[LATENT : LATENT_GRADIENT + 1, STRIDE] = row_stride(n_latent, itemsize)
    places[LOSS, STRIDE] = _round_up(-(-n_outputs // 8), 8)
    for layer in range(n_layers):
        stride = row_stride(int(table[layer, N_OUT]), itemsize)
        places[ACTIVE + layer, STRIDE] = stride
        places[ACTIVE + n_layers + layer, STRIDE] = stride
    sizes = places[:, STRIDE] * n_rows
    sizes[COLUMN_VALUES] = places[COLUMN_VALUES, STRIDE] * n_inputs
    places[PANEL, STRIDE] = widest * width
    sizes[PANEL] = places[PANEL, STRIDE] * n_threads
    # One row of this matrix is one tile; its last row of columns is stored as a whole vector.
    places[PACKED, STRIDE] = n_rows * ISA.tile_rows + line
    sizes[PACKED] = places[PACKED, STRIDE] * -(-int(table[:, N_IN].max()) // ISA.tile_rows)
    offset = 0
    for place, size in zip(places, sizes, strict=True):
        place[OFFSET] = offset
        offset = _round_up(offset + int(size) + line, line)
    return places, offset


def list_sizes(n_features: int, n_rows: int) -> tuple[int, int]:
    """Return the int32 entries of a list of columns for each row, and of rows for each column."""
    return n_rows * list_size(n_features), n_features * list_size(n_rows)
