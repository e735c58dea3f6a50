"""What intrinsics are compiled for: each refuses the types that its machine code cannot handle."""

from __future__ import annotations

from typing import Any

import numba
import pytest
from numba import types
from numba.core.errors import TypingError

from fastvae.kernels.machine.compilation import FLAGS
from fastvae.kernels.machine.isa import isa
from fastvae.kernels.machine.memory import (
    advance,
    cast,
    float32_at,
    get,
    get_offset,
    lane_count,
    load,
    load_converted,
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
    all_hold,
    as_float,
    as_integer,
    compress,
    constant,
    fma,
    negative,
    nonzero_bits,
    numbers_from,
    select,
    set_bits,
    splat,
    square_root,
    sums_of_eight,
    to_float,
    trailing_zeros,
    vector_of,
)
from fastvae.kernels.maths.philox import _philox_uniforms
from fastvae.kernels.maths.tiles import columns_product, listed_product, listed_rows_product


def array(base: types.Type, layout: str = "C", *, aligned: bool = True) -> types.Array:
    return types.Array(base, 2 if layout == "F" else 1, layout, aligned=aligned)


REAL, WIDE, SHORT, LONG = (
    array(base) for base in (types.float32, types.float64, types.int32, types.int64)
)
f32, f64, i32, i64, u64 = types.float32, types.float64, types.int32, types.int64, types.uint64

# What an intrinsic is for, types that it takes, and types that it must not be compiled for.
CONTRACTS: dict[str, tuple[Any, tuple[Any, ...], list[tuple[Any, ...]]]] = {
    "pointer": (
        lambda a: pointer(a),
        (REAL,),
        [(array(f32, "A"),), (array(f32, "F"),), (array(f32, aligned=False),), (f32,)],
    ),
    "address": (lambda a: float32_at(a), (i64,), [(f64,), (REAL,)]),
    "get_offset": (lambda a, i: get_offset(pointer(a), i), (REAL, i64), [(REAL, f64)]),
    "advance": (lambda a, i: advance(pointer(a), i), (REAL, i64), [(REAL, f64)]),
    "get": (
        lambda a, i: get(pointer(a), i),
        (REAL, i64),
        [(REAL, f64), (array(types.complex64), i64)],
    ),
    "put": (
        lambda a, i, x: put(pointer(a), i, x),
        (REAL, i64, f32),
        [(REAL, i64, f64), (REAL, i64, i64), (WIDE, i64, f32), (REAL, f32, f32), (SHORT, i64, i64)],
    ),
    "load": (
        lambda a, i: load(pointer(a), i),
        (REAL, i64),
        [(REAL, f64), (array(types.complex64), i64), (array(types.boolean), i64)],
    ),
    "load_converted": (
        lambda a, i, b: load_converted(pointer(a), i, pointer(b)),
        (array(types.uint8), i64, REAL),
        [(SHORT, i64, REAL), (REAL, i64, SHORT), (REAL, f64, REAL)],
    ),
    "store": (
        lambda a, i, b: store(pointer(a), i, load(pointer(b), 0)),
        (REAL, i64, REAL),
        [(REAL, i64, WIDE), (WIDE, i64, REAL), (SHORT, i64, REAL), (REAL, f64, REAL)],
    ),
    "stack": (lambda a: stack(pointer(a), 16), (REAL,), [(array(types.complex64),)]),
    "prefetch": (lambda a, i: prefetch(pointer(a), i), (REAL, i64), [(REAL, f64)]),
    "sum_eight": (lambda a, i: sum_eight(pointer(a), i), (REAL, i64), [(SHORT, i64), (REAL, f64)]),
    "transpose_square": (
        lambda a, i, b, j: transpose_square(pointer(a), i, pointer(b), j),
        (REAL, i64, REAL, i64),
        [(REAL, i64, WIDE, i64), (REAL, f64, REAL, i64), (REAL, i64, REAL, f64)],
    ),
    "lane_count": (lambda a: lane_count(pointer(a)), (REAL,), [(array(types.boolean),)]),
    "cast": (
        lambda a, x: cast(pointer(a), x),
        (REAL, i64),
        [(REAL, types.complex128), (REAL, types.boolean)],
    ),
    "fma": (
        lambda a, b, c: fma(a, b, c),
        (f32, f32, f32),
        [(f32, f32, f64), (i64, i64, i64), (types.boolean,) * 3],
    ),
    "fma of vectors": (
        lambda a: fma(load(pointer(a), 0), load(pointer(a), 0), load(pointer(a), 0)),
        (REAL,),
        [(SHORT,), (LONG,)],
    ),
    "select": (
        lambda a, b: select(
            load(pointer(a), 0) < load(pointer(a), 0), load(pointer(b), 0), load(pointer(b), 0)
        ),
        (REAL, SHORT),
        [(REAL, WIDE), (WIDE, REAL)],  # masks of another number of lanes
    ),
    "select of scalars": (
        lambda a, x, y: select(load(pointer(a), 0) < load(pointer(a), 0), x, y),
        (REAL, vector_of(f32), vector_of(f32)),
        [(REAL, f32, f32), (REAL, vector_of(f32), vector_of(i32))],
    ),
    "square_root": (lambda a: square_root(load(pointer(a), 0)), (REAL,), [(SHORT,)]),
    "nonzero_bits": (lambda a: nonzero_bits(load(pointer(a), 0)), (REAL,), [(SHORT,)]),
    "trailing_zeros": (lambda x: trailing_zeros(x), (u64,), [(i32,), (f64,)]),
    "set_bits": (lambda x: set_bits(x), (u64,), [(i64,), (f64,)]),
    "numbers_from": (
        lambda a, i: numbers_from(load(pointer(a), 0), i),
        (REAL, i64),
        [(REAL, f64)],
    ),
    "sums_of_eight": (lambda a: sums_of_eight(load_row(pointer(a), 0)), (REAL,), [(SHORT,)]),
    "splat": (lambda x: splat(x), (f32,), [(types.boolean,), (types.complex64,)]),
    "constant": (
        lambda a, x: constant(load(pointer(a), 0), x),
        (REAL, f64),
        [(REAL, types.complex128), (REAL, types.boolean), (REAL, REAL)],
    ),
    "as_integer": (lambda a: as_integer(load(pointer(a), 0)), (REAL,), [(SHORT,)]),
    "as_float": (lambda a: as_float(load(pointer(a), 0)), (SHORT,), [(REAL,)]),
    "to_float": (lambda a: to_float(load(pointer(a), 0)), (SHORT,), [(REAL,)]),
    "+": (
        lambda a, b: load(pointer(a), 0) + load(pointer(b), 0),
        (REAL, REAL),
        [(REAL, WIDE), (REAL, SHORT), (SHORT, array(types.uint32))],
    ),
    "/": (lambda a: load(pointer(a), 0) / load(pointer(a), 0), (REAL,), [(SHORT,), (LONG,)]),
    "&": (lambda a: load(pointer(a), 0) & load(pointer(a), 0), (SHORT,), [(REAL,)]),
    "<<": (lambda a: load(pointer(a), 0) << load(pointer(a), 0), (SHORT,), [(REAL,)]),
    "<": (
        lambda a, b: load(pointer(a), 0) < load(pointer(b), 0),
        (REAL, REAL),
        [(REAL, WIDE), (REAL, SHORT)],
    ),
    "sum of masks": (
        lambda a, b: (a < a) & (b < b),
        (vector_of(f32),) * 2,
        [(vector_of(f32), vector_of(f64))],
    ),
    "uniforms": (
        lambda a, x: _philox_uniforms(pointer(a), x, x, x, x),
        (REAL, u64),
        [(REAL, i64), (SHORT, u64), (LONG, u64)],
    ),
    "all_hold": (
        lambda a, b: all_hold(load(pointer(a), 0) < load(pointer(b), 0)),
        (REAL, REAL),
        [(SHORT, REAL)],
    ),
    "negative": (lambda a: negative(load(pointer(a), 0)), (REAL,), [(SHORT,)]),
    "columns_product": (
        lambda a, b, c: columns_product(pointer(a), pointer(b), pointer(c), 1, 1, False),
        (REAL, REAL, REAL),
        [(REAL, REAL, WIDE), (SHORT, SHORT, SHORT)],
    ),
    "listed_product": (
        lambda a, b: listed_product(
            (pointer(a), 1), pointer(a), (pointer(a), 1, 1, 1), (pointer(b), 1), False
        ),
        (REAL, SHORT),
        [(REAL, LONG), (REAL, REAL), (SHORT, SHORT)],
    ),
    "listed_rows_product": (
        lambda a, b: listed_rows_product(pointer(a), pointer(a), 1, 1, pointer(a), (pointer(b), 1)),
        (REAL, SHORT),
        [(REAL, LONG), (REAL, REAL), (SHORT, SHORT)],
    ),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_intrinsics_are_not_compiled_for_types_that_they_cannot_handle(name: str) -> None:
    function, accepted, refused = CONTRACTS[name]

    compile_for(function, accepted)
    for kinds in refused:
        with pytest.raises(TypingError):
            compile_for(function, kinds)


@pytest.mark.skipif(isa() != "avx512", reason="compress is an instruction of AVX-512")
def test_compress_takes_whole_registers_and_unsigned_bits() -> None:
    def function(a: Any, bits: Any) -> Any:
        return compress(a, bits)

    for base in (f32, f64, i32, i64):
        compile_for(function, (vector_of(base), u64))
    for kinds in ((vector_of(f32), i64), (vector_of(f32).with_base(types.boolean), u64)):
        with pytest.raises(TypingError):
            compile_for(function, kinds)


def compile_for(function: Any, kinds: tuple[Any, ...]) -> None:
    """Compile without the wrappers that Python would call: vectors and pointers are returned."""
    numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **FLAGS)(function).compile(kinds)
