"""How a network lies in memory: one arena of parameters, one of workspace, and tables of both.

All weights and biases of a network stand in one 1-D arena per dtype; moments and gradients
use the same layout. A record of the layer table says where a layer is and what it does, so that
every architecture runs through the same machine code.

Weights are packed in panels of W = `panel_width` outputs: panel p holds, for each input i in
order, the weights of outputs p W .. p W + W - 1 side by side. The last panel is padded with
zeros, which stay zero. Workspace rows are padded to an odd number of cache lines, as rows at
powers of two would all fall into a few sets of the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..machine.isa import CACHE_LINE, ISA, panel_width
from ..maths.activations import ACTIVATIONS
from ..maths.lists import list_size
from .records import MATRIX

LAYER = np.dtype(
    [
        ("n_in", np.int64),
        ("n_out", np.int64),
        ("activation", np.int64),
        ("weight", np.int64),
        ("bias", np.int64),
        ("panels", np.int64),
    ]
)
"""A layer: sizes, code of the activation, first elements of weights and biases, panels."""

# The workspace's matrices; layer l has its activations in matrix ACTIVE + l and the gradient of
# its pre-activations in matrix ACTIVE + n_layers + l, its input packed for the gradient of its
# weights in matrix ACTIVE + 2 n_layers + l. What is not zero in the input stands in
# ROW_VALUES and COLUMN_VALUES, in the order of its lists (`maths.lists`). OBSERVED has the
# data where the encoder takes other numbers (`maths.row_likelihoods.row_inputs`), GATES what free
# bits know of each latent unit (`objective_tasks`), SCALED what the decoder reads where latents
# have a prior of their class (`label_tasks`).
(
    INPUT,
    OBSERVED,
    ROW_VALUES,
    COLUMN_VALUES,
    NOISE,
    LATENT,
    LATENT_GRADIENT,
    LOSS,
    PANEL,
    GATES,
    SCALED,
    ACTIVE,
) = range(12)


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
    ndarray of LAYER, shape (n_layers,)
    """
    itemsize = np.dtype(dtype).itemsize
    width = panel_width(itemsize)
    line = CACHE_LINE // itemsize
    table = np.empty(len(layers), LAYER)
    offset = 0
    for i, (n_in, n_out, activation) in enumerate(layers):
        panels = -(-n_out // width)
        bias = _round_up(offset + panels * n_in * width, line)
        table[i] = n_in, n_out, ACTIVATIONS[activation], offset, bias, panels
        offset = _round_up(bias + panels * width, line)
    return table


_LARGE = 2**19
"""Weights of a layer that do not fit in a core's second-level cache, with their moments."""


def is_large(layer: np.void) -> bool:
    """Whether the gradient of a layer's weights, a record of LAYER, comes right after that of its
    input: what both read is in the cache then. Those of other layers come together, at the end."""
    return bool(layer["n_in"] * layer["n_out"] >= _LARGE)


@dataclass(frozen=True, eq=False)
class Architecture:
    """What a network is made of: encoder, head, decoder, and what stands behind these.

    Attributes
    ----------
    table : ndarray of LAYER
        Layers from the data to the outputs; then one without inputs, of biases only, where sigma
        has parameters of its own; then the prior's, where it goes by the class.
    n_encoder : int
        Layers before the head.
    n_classes : int
        Of conditional networks K: the last K inputs of the encoder and the decoder are the label.
    has_prior : bool
        Whether the last layer says the latents' prior, of the label.
    """

    table: np.ndarray
    n_encoder: int
    n_classes: int = 0
    has_prior: bool = False

    @property
    def n_features(self) -> int:
        """Columns of the data."""
        return int(self.table["n_in"][0]) - self.n_classes

    @property
    def n_latent(self) -> int:
        """Latents of a row."""
        return int(self.table["n_out"][self.n_encoder]) // 2

    @property
    def last(self) -> int:
        """Number of the decoder's last layer."""
        return int(np.flatnonzero(self.table["n_in"])[-1 - self.has_prior])

    @property
    def prior(self) -> int:
        """Number of the prior's layer, where there is one."""
        return len(self.table) - 1


def aligned_zeros(size: int, dtype: np.dtype | type) -> np.ndarray:
    """Return a zeroed 1-D array that starts on a cache line."""
    itemsize = np.dtype(dtype).itemsize
    return from_line(np.zeros(size * itemsize + CACHE_LINE, np.uint8)).view(dtype)


def from_line(raw: np.ndarray) -> np.ndarray:
    """Return the bytes of an array from a cache line on, one line less in all."""
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : len(raw) - CACHE_LINE + start]


def arena_size(table: np.ndarray, dtype: np.dtype | type) -> int:
    """Return the elements of an arena for the layers of a table."""
    itemsize = np.dtype(dtype).itemsize
    end = table["bias"][-1] + table["panels"][-1] * panel_width(itemsize)
    return _round_up(int(end), CACHE_LINE // itemsize)


def n_partial_sums(table: np.ndarray, dtype: np.dtype | type) -> int:
    """Return how many sums of a gradient's squares there are: one for each output, pads too."""
    return int(table["panels"].sum()) * panel_width(np.dtype(dtype).itemsize)


def new_arena(table: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return a zeroed 1-D arena for the layers of a table."""
    return aligned_zeros(arena_size(table, dtype), dtype)


def _places(table: np.ndarray, arena: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of a layer's weights as (panels, n_in, width) and of its padded biases."""
    n_in, _, _, weight, bias, panels = table[layer].item()
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
        n_out = int(table["n_out"][layer]) - first
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
    line = CACHE_LINE // itemsize
    lines = -(-max(_round_up(n, panel_width(itemsize)), n + line) // line)
    return (lines | 1) * line


def place_matrices(
    strides: Sequence[int], sizes: Sequence[int], itemsize: int
) -> tuple[np.ndarray, int]:
    """Place matrices of so many elements one after the other, each on a cache line.

    Returns
    -------
    places : ndarray of MATRIX
    size : int
        Elements of the workspace.
    """
    line = CACHE_LINE // itemsize
    places = np.empty(len(strides), MATRIX)
    offset = 0
    for i, (stride, size) in enumerate(zip(strides, sizes, strict=True)):
        places[i] = offset, stride
        offset = _round_up(offset + size + line, line)
    return places, offset


def packed_size(n_rows: int, n_columns: int, itemsize: int) -> tuple[int, int]:
    """Return row stride and elements of a matrix whose rows are a tile's columns, row by row.

    The last row of columns is stored as a whole vector.
    """
    stride = n_rows * ISA.tile_rows + CACHE_LINE // itemsize
    return stride, stride * -(-n_columns // ISA.tile_rows)


def workspace_places(
    network: Architecture, n_rows: int, n_threads: int, dtype: np.dtype | type,
    *, training: bool, skip_zeros: bool, observes: bool = False, n_samples: int = 1,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Lay out the workspace of a network for batches of up to `n_rows` rows.

    What is not needed has no room: the last layer's outputs never do, as they are used up where
    they arise or go to the caller's array. Values listed by row have been used when the same are
    listed by column: both have one room.

    Parameters
    ----------
    training : bool
        Whether gradients are computed, not only outputs and losses.
    skip_zeros : bool
        Whether zeros of the data are left out: then its values are listed, and not packed.
    observes : bool
        Whether the encoder takes other numbers than the data have.
    n_samples : int
        Latents of each row, each of which goes through the decoder.

    Returns
    -------
    places : ndarray of MATRIX, shape (ACTIVE + 3 n_layers,)
    size : int
        Elements of the workspace.
    """
    itemsize = np.dtype(dtype).itemsize
    table, n_encoder, last = network.table, network.n_encoder, network.last
    n_layers = len(table)
    n_inputs, n_outputs = int(table["n_in"][0]), int(table["n_out"][last])
    widths = [row_stride(int(n_out), itemsize) for n_out in table["n_out"]]
    strides = [0] * (ACTIVE + 3 * n_layers)
    strides[INPUT] = row_stride(max(n_inputs, n_outputs), itemsize)
    strides[NOISE] = network.n_latent
    strides[LATENT] = row_stride(int(table["n_in"][n_encoder + 1]), itemsize)
    strides[LOSS] = _round_up(-(-n_outputs // 8), 8)
    strides[ACTIVE : ACTIVE + last] = widths[:last]
    # The last layer's slopes, and those of a layer without inputs, belong to the loss.
    slopes = ACTIVE + n_layers
    strides[slopes + last : slopes + n_layers] = widths[last:]
    if network.has_prior:
        strides[SCALED] = strides[LATENT]
        strides[ACTIVE + network.prior] = widths[network.prior]
    if observes:
        strides[OBSERVED] = strides[INPUT]
    if skip_zeros:
        strides[ROW_VALUES] = row_stride(n_inputs, itemsize)
    if training:
        strides[LATENT_GRADIENT] = strides[GATES] = strides[LATENT]
        strides[slopes : slopes + n_layers] = widths
    n_latents, turns = n_rows * n_samples, list[int]()
    sizes = [stride * n_rows for stride in strides]
    sizes[GATES] = 2 * strides[GATES]
    behind = [
        range(first + n_encoder + 1, first + n_layers) for first in (ACTIVE, ACTIVE + n_layers)
    ]
    for place in (NOISE, LATENT, SCALED, LATENT_GRADIENT, LOSS, *behind[0], *behind[1]):
        sizes[place] = strides[place] * n_latents
    if training:
        strides[PANEL] = int(table["n_out"].max()) * panel_width(itemsize)
        sizes[PANEL] = strides[PANEL] * n_threads
        packed = range(slopes + n_layers, slopes + 2 * n_layers)
        for place, n_in in zip(packed[skip_zeros:], table["n_in"][skip_zeros:], strict=True):
            strides[place], sizes[place] = packed_size(n_latents, int(n_in), itemsize)
        turns = [place for place, layer in zip(packed, table, strict=True) if is_large(layer)]
        for place in turns[1:]:
            sizes[turns[0]], sizes[place] = max(sizes[turns[0]], sizes[place]), 0
    if training and skip_zeros:
        strides[COLUMN_VALUES] = row_stride(n_rows, itemsize)
        sizes[ROW_VALUES] = max(sizes[ROW_VALUES], strides[COLUMN_VALUES] * n_inputs)
    places, size = place_matrices(strides, sizes, itemsize)
    places["offset"][COLUMN_VALUES] = places["offset"][ROW_VALUES]
    places["offset"][turns] = places["offset"][turns[:1]]
    return places, size


def n_listed(n_features: int, n_rows: int, *, training: bool) -> int:
    """Return the int32 entries of a list of columns for each row or, in training and in the same
    room, of rows for each column."""
    by_row, by_column = n_rows * list_size(n_features), n_features * list_size(n_rows)
    return max(by_row, by_column) if training else by_row
