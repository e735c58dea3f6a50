"""The register tile of a matrix product: the one loop where almost all time is spent.

A tile has `ISA.tile_rows` rows of `ISA.tile_vectors` vectors and stays in registers while the
contracted index runs. Every element is one chain of fused multiply-adds in ascending order of
that index, starting from +0, and lanes are elements, never partial sums: therefore tile shape,
vector width, thread count and the skipping of exact zeros do not change a single bit.

The finished tile is left in a small buffer (row-major, `panel_width` columns) that stays in
the first-level cache, where the epilogues of the layers take it up.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from ._isa import ISA
from ._jit import device_function
from .memory import element_alignment, emit_vector_pointer
from .simd import emit_fma, emit_splat, intrinsic, vector_of

# The inline-assembly constraint that means any vector register.
_REGISTER_CLASS = {"avx512": "v", "avx2": "x", "neon": "w"}.get(ISA.name)

MR = ISA.tile_rows
SHORT = ISA.short_rows
NR = ISA.tile_vectors
TILE_FLOATS = MR * NR * (ISA.vector_bytes // 4)
"""Elements of a tile in float32; a float64 tile has half as many."""
CHUNK_TILES = 24
CHUNK_ROWS = CHUNK_TILES * MR
"""Rows in one task of a product with a panel of weights."""


@device_function
def tile_start(tile: Any, n_rows: Any) -> Any:
    """The first row of a chunk's tile; of `n_rows` rows, in ceil(n_rows / MR) tiles.

    The last one or two tiles are short where that pads less: 20 rows are 6 + 6 + 4 + 4.
    """
    n_tiles = (n_rows + MR - 1) // MR
    rest = n_rows % MR
    n_short = 0
    if 0 < rest <= SHORT:
        n_short = 2 if rest <= 2 * SHORT - MR and n_tiles > 1 else 1
    if SHORT == MR or tile <= n_tiles - n_short:
        return min(tile * MR, n_rows)
    return min((n_tiles - n_short) * MR + (tile - n_tiles + n_short) * SHORT, n_rows)


def _emit_product(
    builder: Any, tile: Any, a_rows: list[Any], a_step: int | None, b: Any, b_step: Any,
    indices: Any, length: Any, resume: Any,
) -> None:  # fmt: skip
    """Emit tile[r, :] = sum over s < length of a_rows[r][p] * b[q * b_step + :].

    Without `indices` (a pointer to int32), p = q = s. With them q = indices[s], and p = q too,
    unless `a_step` is given: then p = s * a_step. With `resume` the sum goes on from the tile.
    """
    element = tile.type.pointee
    word = length.type
    count = len(a_rows) * NR
    vector = vector_of(types.float32 if isinstance(element, ir.FloatType) else types.float64)
    align = element_alignment(vector.llvm)
    zero = word(0)
    zero_vector = ir.Constant(vector.llvm, [element(0.0)] * vector.lanes)

    def place_of(i: int) -> Any:
        return emit_vector_pointer(builder, tile, word(i * vector.lanes), vector.llvm)

    before = builder.block
    again = builder.append_basic_block("product.resume")
    entry = builder.append_basic_block("product.entry")
    loop = builder.append_basic_block("product.loop")
    done = builder.append_basic_block("product.done")
    builder.cbranch(resume, again, entry)
    builder.position_at_end(again)
    partial = [builder.load(place_of(i), align=align) for i in range(count)]
    builder.branch(entry)
    builder.position_at_end(entry)
    starts = []
    for value in partial:
        start = builder.phi(vector.llvm)
        start.add_incoming(zero_vector, before)
        start.add_incoming(value, again)
        starts.append(start)
    builder.cbranch(builder.icmp_signed(">", length, zero), loop, done)

    builder.position_at_end(loop)
    step = builder.phi(word)
    step.add_incoming(zero, entry)
    sums = [builder.phi(vector.llvm) for _ in range(count)]
    for phi, start in zip(sums, starts, strict=True):
        phi.add_incoming(start, entry)
    k = step if indices is None else builder.sext(builder.load(builder.gep(indices, [step])), word)
    row_b = builder.mul(k, b_step)
    operands = []
    for v in range(NR):
        index = builder.add(row_b, word(v * vector.lanes))
        place = emit_vector_pointer(builder, b, index, vector.llvm)
        operands.append(builder.load(place, align=align))
    offset_a = k if a_step is None else builder.mul(step, word(a_step))
    updated = []
    for r in range(len(a_rows)):
        factor = builder.load(builder.gep(a_rows[r], [offset_a]))
        factors = emit_splat(builder, factor, vector.lanes)
        row = sums[r * NR : (r + 1) * NR]
        products = [
            emit_fma(builder, factors, operand, total)
            for operand, total in zip(operands, row, strict=True)
        ]
        products[-1] = _emit_fence(builder, products[-1])
        updated += products
    following = builder.add(step, word(1))
    step.add_incoming(following, loop)
    for phi, value in zip(sums, updated, strict=True):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, length), loop, done)

    builder.position_at_end(done)
    for i in range(count):
        final = builder.phi(vector.llvm)
        final.add_incoming(starts[i], entry)
        final.add_incoming(updated[i], loop)
        updated[i] = final
    for i, value in enumerate(updated):
        builder.store(value, place_of(i), align=align)


def _emit_fence(builder: Any, value: Any) -> Any:
    """Emit an empty instruction that `value` goes through and that no load is moved across.

    Without it, LLVM's scheduler may load the factors of all rows first; accumulators then spill
    to the stack, which made the loop over listed indices 2.5 times slower.
    """
    if _REGISTER_CLASS is None:
        return value
    kind = ir.FunctionType(value.type, [value.type])
    constraints = f"={_REGISTER_CLASS},0,~{{memory}}"
    return builder.asm(kind, "", constraints, [value], side_effect=True)


def _emit_row_pointers(builder: Any, a: Any, stride: Any, last_row: Any, n_rows: int) -> list[Any]:
    """Emit pointers to n_rows rows of `a`; rows past `last_row` repeat it (and are not used)."""
    rows = []
    for r in range(n_rows):
        number = last_row.type(r)
        within = builder.icmp_signed("<", number, last_row)
        rows.append(builder.gep(a, [builder.mul(builder.select(within, number, last_row), stride)]))
    return rows


def _pointers(*arguments: Any) -> bool:
    return all(isinstance(argument, types.CPointer) for argument in arguments)


def _optional(indices: Any, value: Any) -> Any:
    return value if isinstance(indices, types.CPointer) else None


def _rows_product(n_rows: int, doc: str) -> Any:
    def typed(
        typingctx: Any, tile: Any, a: Any, a_stride: Any, last_row: Any, b: Any, b_step: Any,
        indices: Any, length: Any, resume: Any,
    ) -> Any:  # fmt: skip
        if not (_pointers(tile, a, b) and tile == a == b):
            return None

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            tile_, a_, a_stride_, last_row_, b_, b_step_, indices_, length_, resume_ = args
            rows = _emit_row_pointers(builder, a_, a_stride_, last_row_, n_rows)
            listed = _optional(indices, indices_)
            _emit_product(builder, tile_, rows, None, b_, b_step_, listed, length_, resume_)
            return context.get_dummy_value()

        word = types.intp
        return types.void(tile, a, word, word, b, word, indices, word, types.boolean), lower

    typed.__doc__ = doc
    return intrinsic(typed)


_full_product = _rows_product(MR, "The product of a tile of MR rows.")
_short_product = _rows_product(SHORT, "The product of a tile of SHORT rows.")


@device_function
def rows_product(
    tile: Any, a: Any, a_stride: Any, n_rows: Any, b: Any, b_step: Any, indices: Any, length: Any,
    resume: Any,
) -> None:  # fmt: skip
    """tile[r, c] (+)= sum over k of a[r * a_stride + k] * b[k * b_step + c], r < n_rows <= MR.

    k runs over the first `length` of `indices` (a pointer to int32, ascending), or with None over
    range(length). What the tile holds past n_rows is not defined.
    """
    if n_rows <= SHORT:
        _short_product(tile, a, a_stride, n_rows - 1, b, b_step, indices, length, resume)
    else:
        _full_product(tile, a, a_stride, n_rows - 1, b, b_step, indices, length, resume)


@intrinsic
def columns_product(
    typingctx: Any, tile: Any, a: Any, b: Any, b_step: Any, indices: Any, length: Any, resume: Any
) -> Any:
    """tile[r, c] (+)= sum over s < length of a[s * MR + r] * b[k * b_step + c], r < MR.

    k is indices[s] (a pointer to int32, ascending), or with None s itself.
    """
    if not (_pointers(tile, a, b) and tile == a == b):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        tile_, a_, b_, b_step_, indices_, length_, resume_ = args
        rows = [builder.gep(a_, [length_.type(r)]) for r in range(MR)]
        listed = _optional(indices, indices_)
        _emit_product(builder, tile_, rows, MR, b_, b_step_, listed, length_, resume_)
        return context.get_dummy_value()

    word = types.intp
    return types.void(tile, a, b, word, indices, word, types.boolean), lower
