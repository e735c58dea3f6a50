"""The register tile of a matrix product: the one loop where almost all time is spent.

A tile has `ISA.tile_rows` rows of `ISA.tile_vectors` vectors and stays in registers while the
contracted index runs. Every element is one chain of fused multiply-adds in ascending order of
that index, starting from +0, and lanes are elements, never partial sums: therefore tile shape,
vector width, thread count and the skipping of exact zeros do not change a single bit.

The finished tile is left in a small buffer (row-major, `panel_width` columns) that stays in
the first-level cache, where the epilogues of the layers take it up.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..machine.compilation import device_function
from ..machine.isa import ISA, panel_width
from ..machine.kinds import Pointer, Record, Word
from ..machine.memory import element_alignment, emit_prefetch, emit_vector_pointer
from ..machine.vectors import emit_fma, emit_splat, intrinsic, vector_of

MR = ISA.tile_rows
SHORT = ISA.short_rows
NR = ISA.tile_vectors
TILE_FLOATS = MR * NR * (ISA.vector_bytes // 4)
"""Elements of a tile in float32; a float64 tile has half as many."""
WIDE = ISA.sparse_panels
"""Panels that one row is multiplied with where zeros are skipped."""
CHUNK_TILES = 24
CHUNK_ROWS = CHUNK_TILES * MR
"""Rows in one task of a product with a panel of weights."""


@device_function
def tile_start(tile: Word, n_rows: Word) -> Word:
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
    builder: Any, places: list[Any], a: tuple[list[Any], int], b: tuple[list[Any], Any],
    indices: Any, length: Any, resume: Any, ahead: tuple[list[Any], Any] = ([], None),
) -> None:  # fmt: skip
    """Emit the sums over s < length of a_rows[r][s * a_step] * columns[v][k * b_step].

    `a` are a_rows and a_step, `b` columns and b_step. `columns` and `places` are pointers to
    vectors; the sum of r and v is left in places[r * len(columns) + v]. k is indices[s] (a pointer
    to int32) or, with None, s itself. With an a_step of 0, a_rows are read at k. With `resume` the
    sums go on from what stands in `places`. `ahead` are pointers and how many elements after each
    step what stands there is asked for: one line at a time, as many at once keep the loop waiting.
    """
    (a_rows, a_step), (columns, b_step) = a, b
    vector = places[0].type.pointee
    word = length.type
    align = element_alignment(vector)
    zero = word(0)
    zero_vector = ir.Constant(vector, [vector.element(0.0)] * vector.count)

    before = builder.block
    again = builder.append_basic_block("product.resume")
    entry = builder.append_basic_block("product.entry")
    loop = builder.append_basic_block("product.loop")
    done = builder.append_basic_block("product.done")
    builder.cbranch(resume, again, entry)
    builder.position_at_end(again)
    partial = [builder.load(place, align=align) for place in places]
    builder.branch(entry)
    builder.position_at_end(entry)
    starts = []
    for value in partial:
        start = builder.phi(vector)
        start.add_incoming(zero_vector, before)
        start.add_incoming(value, again)
        starts.append(start)
    builder.cbranch(builder.icmp_signed(">", length, zero), loop, done)

    builder.position_at_end(loop)
    step = builder.phi(word)
    step.add_incoming(zero, entry)
    sums = [builder.phi(vector) for _ in places]
    for phi, start in zip(sums, starts, strict=True):
        phi.add_incoming(start, entry)
    k = step if indices is None else builder.sext(builder.load(builder.gep(indices, [step])), word)
    row_b = builder.mul(k, b_step)
    operands = []
    for column in columns:
        place = builder.gep(builder.bitcast(column, vector.element.as_pointer()), [row_b])
        operands.append(builder.load(builder.bitcast(place, column.type), align=align))
    asked, ahead_step = ahead
    for place in asked:
        emit_prefetch(builder, builder.gep(place, [builder.mul(step, ahead_step)]))
    offset_a = builder.mul(step, word(a_step)) if a_step else k
    updated = []
    for r, a_row in enumerate(a_rows):
        factor = builder.load(builder.gep(a_row, [offset_a]))
        factors = emit_splat(builder, factor, vector.count)
        row = sums[r * len(columns) : (r + 1) * len(columns)]
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
    finals = []
    for start, value in zip(starts, updated, strict=True):
        final = builder.phi(vector)
        final.add_incoming(start, entry)
        final.add_incoming(value, loop)
        finals.append(final)
    for final, place in zip(finals, places, strict=True):
        builder.store(final, place, align=align)


def _emit_fence(builder: Any, value: Any) -> Any:
    """Emit an empty instruction that `value` goes through and that no load is moved across.

    Without it, LLVM's scheduler may load the factors of all rows first; accumulators then spill
    to the stack, which made the loop over listed indices 2.5 times slower.
    """
    if ISA.register_class is None:
        return value
    kind = ir.FunctionType(value.type, [value.type])
    constraints = f"={ISA.register_class},0,~{{memory}}"
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
    floats = (types.CPointer(types.float32), types.CPointer(types.float64))
    return all(argument in floats for argument in arguments)


def _emit_vectors(builder: Any, base: Any, starts: list[Any]) -> list[Any]:
    """Emit pointers to NR vectors from each of the elements `starts` of `base` on."""
    element = types.float32 if isinstance(base.type.pointee, ir.FloatType) else types.float64
    vector = vector_of(element)
    return [
        emit_vector_pointer(
            builder, base, builder.add(start, start.type(v * vector.lanes)), vector.llvm
        )
        for start in starts
        for v in range(NR)
    ]


def _emit_tile(
    builder: Any, tile: Any, a: tuple[list[Any], int], b: tuple[Any, Any], length: Any, resume: Any,
    ahead: tuple[list[Any], Any],
) -> None:  # fmt: skip
    """Emit tile[r, :] (+)= sum over k < length of a_rows[r][k * a_step] * b[k * b_step + :]."""
    first, b_step = b
    width = panel_width(4 if isinstance(first.type.pointee, ir.FloatType) else 8)
    places = _emit_vectors(builder, tile, [length.type(r * width) for r in range(len(a[0]))])
    columns = _emit_vectors(builder, first, [length.type(0)])
    _emit_product(builder, places, a, (columns, b_step), None, length, resume, ahead)


def _rows_product(n_rows: int, doc: str) -> Any:
    def typed(
        typingctx: Any, tile: Any, a: Any, rows: Any, b: Any, length: Any, resume: Any, ahead: Any
    ) -> Any:
        if not (_pointers(tile, a, b) and tile == a == b and _start_with_pointer(ahead, 2)):
            return None
        if rows != types.UniTuple(types.intp, 2):
            return None

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            tile_, a_, rows_, b_, length_, resume_, ahead_ = args
            stride, last_row = cgutils.unpack_tuple(builder, rows_)
            next_, ahead_step = cgutils.unpack_tuple(builder, ahead_)
            a_rows = _emit_row_pointers(builder, a_, stride, last_row, n_rows)
            step = length_.type(panel_width(b.dtype.bitwidth // 8))
            asked = [next_], ahead_step
            _emit_tile(builder, tile_, (a_rows, 1), (b_, step), length_, resume_, asked)
            return context.get_dummy_value()

        return types.void(tile, a, rows, b, types.intp, types.boolean, ahead), lower

    return intrinsic(typed, doc=doc)


_full_product = _rows_product(MR, "The product of a tile of MR rows.")
_short_product = _rows_product(SHORT, "The product of a tile of SHORT rows.")


@device_function
def rows_product(
    tile: Pointer, a: Pointer, a_stride: Word, n_rows: Word, b: Pointer, length: Word, resume: Word,
    ahead: Record,
) -> None:  # fmt: skip
    """tile[r, c] (+)= sum over k < length of a[r * a_stride + k] * b[k * W + c], r < n_rows.

    `b` is a part of a panel. n_rows <= MR; what the tile holds past n_rows is not defined.
    `ahead` is a pointer to what is asked for meanwhile, and how many elements for each k.
    """
    rows = (a_stride, n_rows - 1)
    if n_rows <= SHORT:
        _short_product(tile, a, rows, b, length, resume, ahead)
    else:
        _full_product(tile, a, rows, b, length, resume, ahead)


@intrinsic
def _listed_rows(
    typingctx: Any, tile: Any, a: Any, a_stride: Any, last_row: Any, b: Any, listed: Any
) -> Any:
    if not (_pointers(tile, a, b) and tile == a == b and _is_list(listed)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        tile_, a_, a_stride_, last_row_, b_, listed_ = args
        indices, length = cgutils.unpack_tuple(builder, listed_)
        rows = _emit_row_pointers(builder, a_, a_stride_, last_row_, MR)
        width = panel_width(b.dtype.bitwidth // 8)
        places = _emit_vectors(builder, tile_, [length.type(r * width) for r in range(MR)])
        columns = _emit_vectors(builder, b_, [length.type(0)])
        step, resume = length.type(width), ir.IntType(1)(0)
        _emit_product(builder, places, (rows, 0), (columns, step), indices, length, resume)
        return context.get_dummy_value()

    word = types.intp
    return types.void(tile, a, word, word, b, listed), lower


@device_function
def listed_rows_product(
    tile: Pointer, a: Pointer, a_stride: Word, n_rows: Word, b: Pointer, listed: Record
) -> None:
    """tile[r, c] = sum over s < length of a[r * a_stride + k] * b[k * W + c], k = indices[s].

    `listed` is (indices, length), `indices` a pointer to int32, ascending. n_rows <= MR, as for
    `rows_product`.
    """
    _listed_rows(tile, a, a_stride, n_rows - 1, b, listed)


@intrinsic
def columns_product(
    typingctx: Any, tile: Any, a: Any, b: Any, b_step: Any, length: Any, resume: Any
) -> Any:
    """tile[r, c] (+)= sum over k < length of a[k * MR + r] * b[k * b_step + c], r < MR."""
    if not (_pointers(tile, a, b) and tile == a == b):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        tile_, a_, b_, b_step_, length_, resume_ = args
        rows = [builder.gep(a_, [length_.type(r)]) for r in range(MR)]
        asked: tuple[list[Any], Any] = [], length_.type(0)
        _emit_tile(builder, tile_, (rows, MR), (b_, b_step_), length_, resume_, asked)
        return context.get_dummy_value()

    return types.void(tile, a, b, types.intp, types.intp, types.boolean), lower


@intrinsic
def listed_product(
    typingctx: Any, tiles: Any, a: Any, panels: Any, listed: Any, resume: Any
) -> Any:
    """One row of a product with WIDE panels, without the zeros of the row.

    tile[p * tile_stride + c] (+)= sum over s < length of
    a[s] * b[p * b_stride + indices[s] * b_step + c], where `tiles` is (tile, tile_stride),
    `panels` is (b, b_stride, b_step, last_panel) and `listed` is (indices, length), `indices` a
    pointer to int32, ascending. Panels after `last_panel` repeat it (and are not used).
    """
    if not (_start_with_pointer(tiles, 2) and _start_with_pointer(panels, 4)):
        return None
    if not (_pointers(a) and tiles[0] == a == panels[0] and _is_list(listed)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        tiles_, a_, panels_, listed_, resume_ = args
        tile, tile_stride = cgutils.unpack_tuple(builder, tiles_)
        b, b_stride, b_step, last = cgutils.unpack_tuple(builder, panels_)
        indices, length = cgutils.unpack_tuple(builder, listed_)
        numbers = [length.type(p) for p in range(WIDE)]
        tile_starts = [builder.mul(p, tile_stride) for p in numbers]
        present = [builder.select(builder.icmp_signed("<", p, last), p, last) for p in numbers]
        b_starts = [builder.mul(p, b_stride) for p in present]
        places = _emit_vectors(builder, tile, tile_starts)
        columns = _emit_vectors(builder, b, b_starts)
        _emit_product(builder, places, ([a_], 1), (columns, b_step), indices, length, resume_)
        return context.get_dummy_value()

    return types.void(tiles, a, panels, listed, types.boolean), lower


def _is_list(kind: Any) -> bool:
    """Whether a Numba type is a tuple of a pointer to indices and their number."""
    return _start_with_pointer(kind, 2) and bool(kind[0] == types.CPointer(types.int32))


def _start_with_pointer(kind: Any, count: int) -> bool:
    """Whether a Numba type is a tuple of a pointer and words, `count` in all."""
    if not (isinstance(kind, types.BaseTuple) and len(kind) == count):
        return False
    pointer, *words = kind
    return isinstance(pointer, types.CPointer) and all(word == types.intp for word in words)
