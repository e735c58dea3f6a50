"""Explicit vectors: every operation lane by lane against NumPy, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from kernel_checks import Array, DType, compiled, each_dtype, generator
from numba import types

from fastvae.kernels.machine.isa import INSTRUCTION_SETS, ISA, lanes, panel_width
from fastvae.kernels.machine.memory import (
    advance,
    cast,
    get,
    lane_count,
    load,
    load_row,
    pointer,
    prefetch,
    put,
    stack,
    store,
    sum_eight,
    transpose_square,
)
from fastvae.kernels.machine.vectors import (
    absolute,
    as_float,
    as_integer,
    constant,
    fma,
    numbers_from,
    select,
    splat,
    square_root,
    sums_of_eight,
    to_float,
    vector_of,
)

each_integer = pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])


def operands(dtype: DType) -> tuple[Array, Array, Array]:
    """Three rows of numbers: random ones, and every pair of special ones."""
    special = np.array([0.0, -0.0, 1.0, -1.5, 2.5, np.inf, -np.inf, np.nan])
    a, b = (grid.reshape(-1) for grid in np.meshgrid(special, special))
    rng = generator(3)
    random = rng.standard_normal((3, 64)) * np.exp2(rng.integers(-20, 20, (3, 64)))
    rows = np.concatenate([[a, b, np.roll(a, 7)], random], axis=1).astype(dtype)
    return rows[0], rows[1], rows[2]


@compiled
def float_operations(out: Any, a: Any, b: Any, c: Any) -> None:
    n = a.size
    for i in range(0, n, lane_count(pointer(a))):
        x = load(pointer(a), i)
        y = load(pointer(b), i)
        one = constant(x, 1.0)
        zero = constant(x, 0.0)
        base = pointer(out)
        store(base, i, x + y)
        store(base, n + i, x - y)
        store(base, 2 * n + i, x * y)
        store(base, 3 * n + i, x / y)
        store(base, 4 * n + i, select(x < y, one, zero))
        store(base, 5 * n + i, select(x <= y, one, zero))
        store(base, 6 * n + i, select(x > y, one, zero))
        store(base, 7 * n + i, select(x >= y, one, zero))
        store(base, 8 * n + i, select(x == y, one, zero))
        store(base, 9 * n + i, select(x != y, one, zero))
        store(base, 10 * n + i, absolute(x))
        store(base, 11 * n + i, square_root(absolute(x)))
        store(base, 12 * n + i, as_float(as_integer(x)))
        store(base, 13 * n + i, fma(x, y, load(pointer(c), i)))


@each_dtype
def test_float_operations(dtype: DType) -> None:
    a, b, c = operands(dtype)
    out = np.full((14, a.size), 77, dtype)
    float_operations(out, a, b, c)
    with np.errstate(all="ignore"):
        wanted = [
            *(a + b, a - b, a * b, a / b),
            *(a < b, a <= b, a > b, a >= b, a == b, a != b),
            *(np.abs(a), np.sqrt(np.abs(a)), a),
        ]
    for got, exact in zip(out, wanted, strict=False):
        np.testing.assert_array_equal(got, exact)
    np.testing.assert_array_equal(out[12].tobytes(), a.tobytes())


@each_dtype
def test_fused_multiply_add_rounds_once(dtype: DType) -> None:
    """Where the instruction set has it; without, the product is rounded first."""
    a, b, c = operands(dtype)
    out = np.empty((14, a.size), dtype)
    float_operations(out, a, b, c)
    with np.errstate(all="ignore"):
        twice = a * b + c
    once = twice.copy()
    finite = np.isfinite(twice)
    for i in np.flatnonzero(finite):
        exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        near = dtype(float(exact))  # rounded once in float64, up to one unit off in float32
        choice = [near, np.nextafter(near, dtype(np.inf)), np.nextafter(near, dtype(-np.inf))]
        once[i] = min(choice, key=lambda value: abs(Fraction(float(value)) - exact))
    assert (once != twice)[finite].any()
    np.testing.assert_array_equal(out[13], once if ISA.fused else twice)


@compiled
def integer_operations(out: Any, a: Any, b: Any) -> None:
    n = a.size
    for i in range(0, n, lane_count(pointer(a))):
        x = load(pointer(a), i)
        y = load(pointer(b), i)
        base = pointer(out)
        store(base, i, x + y)
        store(base, n + i, x - y)
        store(base, 2 * n + i, x * y)
        store(base, 3 * n + i, x & y)
        store(base, 4 * n + i, x | y)
        store(base, 5 * n + i, x ^ y)
        store(base, 6 * n + i, x << constant(x, 5))
        store(base, 7 * n + i, x >> constant(x, 5))
        store(base, 8 * n + i, select(x < y, x, y))


@each_integer
def test_integer_operations_wrap_and_shift_by_sign(dtype: type[np.integer[Any]]) -> None:
    bounds = np.iinfo(dtype)
    a, b = generator(4).integers(bounds.min, bounds.max, (2, 64), dtype=dtype, endpoint=True)
    out = np.zeros((9, a.size), dtype)
    integer_operations(out, a, b)
    with np.errstate(over="ignore"):
        wanted = [a + b, a - b, a * b, a & b, a | b, a ^ b, a << 5, a >> 5, np.minimum(a, b)]
    np.testing.assert_array_equal(out, wanted)


@compiled
def conversions(out: Any, integers: Any) -> None:
    for i in range(0, out.size, lane_count(pointer(out))):
        store(pointer(out), i, to_float(load(pointer(integers), i)))


@each_dtype
def test_conversions(dtype: DType) -> None:
    out = np.empty(64, dtype)
    integers = generator(5).integers(-(2**31), 2**31, out.size, dtype=f"i{out.itemsize}")
    conversions(out, integers)
    np.testing.assert_array_equal(out, integers.astype(dtype))


@compiled
def copy_vector(target: Any, target_at: Any, source: Any, source_at: Any) -> None:
    store(pointer(target), target_at, load(advance(pointer(source), source_at), 0))


@each_dtype
def test_memory_access_needs_no_alignment_and_touches_nothing_else(dtype: DType) -> None:
    count = lanes(np.dtype(dtype).itemsize)
    source = np.arange(1, 3 * count + 1, dtype=dtype)
    source.flags.writeable = False
    for at in range(2 * count):
        target = np.zeros(3 * count, dtype)
        copy_vector(target, at, source, 2 * count - at)
        wanted = np.zeros_like(target)
        wanted[at : at + count] = source[2 * count - at : 3 * count - at]
        np.testing.assert_array_equal(target, wanted)


@compiled
def scalars(out: Any, a: Any) -> None:
    base = pointer(out)
    buffer = stack(base, 16)
    for i in range(lane_count(base)):
        put(buffer, i, get(pointer(a), i))
    prefetch(base, 0)
    store(base, 0, load(buffer, 0))
    store(base, 16, splat(get(buffer, 1)))
    store(base, 32, constant(load(buffer, 0), 0.1))
    put(base, 48, cast(base, 0.1))
    put(base, 49, sum_eight(pointer(a), 1))


@each_dtype
def test_scalars_and_buffers(dtype: DType) -> None:
    count = lanes(np.dtype(dtype).itemsize)
    a = generator(6).standard_normal(24).astype(dtype)
    out = np.zeros(50, dtype)
    scalars(out, a)
    np.testing.assert_array_equal(out[:count], a[:count])
    np.testing.assert_array_equal(out[16 : 16 + count], a[1])
    np.testing.assert_array_equal(out[32 : 32 + count], dtype(0.1))
    assert out[48] == dtype(0.1)
    e = a[1:9]
    assert out[49] == ((e[0] + e[4]) + (e[2] + e[6])) + ((e[1] + e[5]) + (e[3] + e[7]))


@compiled
def group_sums(out: Any, a: Any, n: Any) -> None:
    row = load_row(pointer(a), 0)
    lane = numbers_from(row, 0)
    row = select(lane < constant(lane, n), row, constant(row, 0.0))
    store(pointer(out), 0, sums_of_eight(row))


@each_dtype
def test_sums_of_eight_are_those_of_memory_and_lanes_past_n_count_nothing(dtype: DType) -> None:
    width = panel_width(np.dtype(dtype).itemsize)
    a = generator(8).standard_normal(width).astype(dtype)
    for n in (1, width - 3, width):
        out = np.zeros(width // 8, dtype)
        group_sums(out, a, n)
        e = np.where(np.arange(width) < n, a, 0).reshape(-1, 8).T
        wanted = ((e[0] + e[4]) + (e[2] + e[6])) + ((e[1] + e[5]) + (e[3] + e[7]))
        np.testing.assert_array_equal(out, wanted)


@compiled
def transpose(out: Any, a: Any) -> None:
    transpose_square(pointer(out), out.shape[1], pointer(a), a.shape[1])


@each_dtype
def test_transpose(dtype: DType) -> None:
    count = lanes(np.dtype(dtype).itemsize)
    a = generator(7).standard_normal((count, count + 3)).astype(dtype)
    out = np.zeros((count, count + 5), dtype)
    transpose(out, a)
    np.testing.assert_array_equal(out[:, :count], a[:, :count].T)
    np.testing.assert_array_equal(out[:, count:], 0)


def test_vector_types_fill_a_register() -> None:
    assert ISA in INSTRUCTION_SETS.values()
    for base, itemsize in ((types.float32, 4), (types.float64, 8), (types.int32, 4)):
        vector = vector_of(base)
        assert vector.lanes * itemsize == ISA.vector_bytes == lanes(itemsize) * itemsize
        assert vector == vector_of(base) != vector_of(types.uint32)
    for name, isa in INSTRUCTION_SETS.items():
        assert isa.name == name
        # The tile and its operands stay in registers; losses are summed in groups of 8 columns.
        registers = 32 if name in ("avx512", "neon") else 16
        assert isa.tile_rows * isa.tile_vectors + isa.tile_vectors + 1 <= registers
        assert isa.tile_vectors * isa.vector_bytes // 8 % 8 == 0
