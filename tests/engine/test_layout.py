"""The arena: what is written to a layer is what is read from it, and pads stay zero."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from kernel_checks import Array, DType, each_dtype, generator

from fastvae import kernels
from fastvae.kernels import engine
from fastvae.kernels.engine.layout import LAYER
from fastvae.kernels.maths import tiles as _tiles

LAYERS = [
    [(1, 1, "identity")],
    [(784, 256, "relu"), (256, 64, "identity"), (32, 256, "relu"), (256, 784, "sigmoid")],
    [
        (13, 7, "tanh"),
        (7, 31, "leaky_relu"),
        (31, 32, "softplus"),
        (32, 33, "relu"),
        (33, 2, "tanh"),
    ],
]
each_network = pytest.mark.parametrize("layers", LAYERS, ids=["one", "mnist", "odd"])


def parameters(layers: list[tuple[int, int, str]], dtype: DType) -> list[tuple[Array, Array]]:
    """Weights (n_out, n_in) and biases (n_out,), each value unlike any other and not zero."""
    n_values = sum((n_in + 1) * n_out for n_in, n_out, _ in layers)
    values = (generator(1).permutation(n_values) + 1).astype(dtype)
    result, used = [], 0
    for n_in, n_out, _ in layers:
        weight = values[used : used + n_in * n_out].reshape(n_out, n_in)
        used += (n_in + 1) * n_out
        result.append((weight, values[used - n_out : used]))
    return result


@each_dtype
@each_network
def test_every_layer_keeps_what_was_written(
    dtype: DType, layers: list[tuple[int, int, str]]
) -> None:
    table = engine.layer_table(layers, dtype)
    arena = engine.new_arena(table, dtype)
    written = parameters(layers, dtype)
    for layer, (weight, bias) in enumerate(written):
        engine.write_dense(table, arena, layer, weight, bias)
    for layer, (weight, bias) in enumerate(written):
        got_weight, got_bias = engine.read_dense(table, arena, layer)
        np.testing.assert_array_equal(got_weight, weight)
        np.testing.assert_array_equal(got_bias, bias)
        assert got_weight.dtype == got_bias.dtype == arena.dtype == dtype
        assert got_weight.flags.c_contiguous


@each_dtype
@each_network
def test_pads_are_zero(dtype: DType, layers: list[tuple[int, int, str]]) -> None:
    table = engine.layer_table(layers, dtype)
    arena = engine.new_arena(table, dtype)
    assert not arena.any()
    for layer, (weight, bias) in enumerate(parameters(layers, dtype)):
        engine.write_dense(table, arena, layer, weight, bias)
    # The values are those of range(1, n + 1): all of them once, and zeros.
    n_values = sum((n_in + 1) * n_out for n_in, n_out, _ in layers)
    np.testing.assert_array_equal(np.sort(arena[arena != 0]), np.arange(1, n_values + 1))


@each_dtype
@pytest.mark.parametrize(
    ("first", "n_out"), [(0, 5), (1, 31), (15, 18), (31, 2), (16, 17), (32, 0)]
)
def test_some_outputs(dtype: DType, first: int, n_out: int) -> None:
    layers = [(3, 4, "relu"), (7, 33, "identity"), (5, 6, "relu")]
    table = engine.layer_table(layers, dtype)
    arena = engine.new_arena(table, dtype)
    written = parameters(layers, dtype)
    for layer, (weight, bias) in enumerate(written):
        engine.write_dense(table, arena, layer, weight, bias)
    weight, bias = (value.copy() for value in written[1])
    part = slice(first, first + n_out)
    got_weight, got_bias = engine.read_dense(table, arena, 1, first, n_out)
    np.testing.assert_array_equal(got_weight, weight[part])
    np.testing.assert_array_equal(got_bias, bias[part])

    weight[part] *= -1
    engine.write_dense(table, arena, 1, weight[part], None, first)
    assert_layers(table, arena, [written[0], (weight, bias), written[2]])
    bias[part] *= -1
    engine.write_dense(table, arena, 1, None, bias[part], first)
    assert_layers(table, arena, [written[0], (weight, bias), written[2]])


def assert_layers(table: Array, arena: Array, wanted: list[tuple[Array, Array]]) -> None:
    """Assert that every layer holds what is wanted."""
    for layer, (weight, bias) in enumerate(wanted):
        got_weight, got_bias = engine.read_dense(table, arena, layer)
        np.testing.assert_array_equal(got_weight, weight)
        np.testing.assert_array_equal(got_bias, bias)


@each_dtype
def test_what_is_read_is_a_copy(dtype: DType) -> None:
    table = engine.layer_table([(2, 3, "relu")], dtype)
    arena = engine.new_arena(table, dtype)
    for value in engine.read_dense(table, arena, 0):
        value[...] = 1
    assert not arena.any()


@each_dtype
@each_network
def test_table_names_sizes_and_activations(
    dtype: DType, layers: list[tuple[int, int, str]]
) -> None:
    table = engine.layer_table(layers, dtype)
    assert (table.dtype, table.shape) == (LAYER, (len(layers),))
    for row, (n_in, n_out, activation) in zip(table, layers, strict=True):
        assert row.item()[:3] == (n_in, n_out, kernels.ACTIVATIONS[activation])


@each_dtype
@each_network
def test_layers_start_on_cache_lines(dtype: DType, layers: list[tuple[int, int, str]]) -> None:
    table = engine.layer_table(layers, dtype)
    arena = engine.new_arena(table, dtype)
    assert arena.ctypes.data % 64 == 0
    offsets = np.array([table["weight"], table["bias"]]) * arena.itemsize
    np.testing.assert_array_equal(offsets % 64, 0)
    assert offsets.max() < arena.nbytes


@numba.njit
def starts(n_rows):
    n_tiles = (n_rows + _tiles.MR - 1) // _tiles.MR
    return [_tiles.tile_start(tile, n_rows) for tile in range(n_tiles + 1)]


def test_tiles_cover_the_rows_with_the_least_padding():
    """Against all ways to make up a number of rows from whole and short tiles."""
    whole, short = _tiles.MR, _tiles.SHORT
    for n_rows in range(1, 4 * whole + 1):
        edges = starts(n_rows)
        sizes = np.diff(edges)
        assert (edges[0], edges[-1]) == (0, n_rows)
        assert set(sizes) <= set(range(1, whole + 1))
        taken = sum(short if size <= short else whole for size in sizes)
        possible = [a * whole + b * short for a in range(6) for b in range(3)]
        assert taken == min(rows for rows in possible if rows >= n_rows)
