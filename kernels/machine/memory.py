"""Memory for Numba code: raw pointers, and loads and stores of scalars and vectors by them."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compilation import device_function
from .isa import CACHE_LINE, ISA
from .kinds import Pointer, Word
from .vectors import (
    LLVM_BASE,
    Vector,
    emit_splat,
    emit_sums_of_eight,
    intrinsic,
    vector_of,
)


def _is_pointer(base: Any) -> bool:
    """Whether a Numba type points to numbers that vectors can hold, or to bytes."""
    return isinstance(base, types.CPointer) and (
        base.dtype == types.uint8 or _points_to(base, types.Number)
    )


def _points_to(base: Any, kind: Any) -> bool:
    """Whether a Numba type points to elements of the class `kind` that vectors can hold."""
    return (
        isinstance(base, types.CPointer)
        and isinstance(base.dtype, kind)
        and base.dtype in LLVM_BASE
    )


def _are_whole(*numbers: Any) -> bool:
    """Whether Numba types are integers: indices, counts, strides, addresses."""
    return all(isinstance(number, types.Integer) for number in numbers)


@intrinsic
def pointer(typingctx: Any, array: Any) -> Any:
    """A raw pointer to the first element of a C-contiguous array, which may be read-only."""
    if not (isinstance(array, types.Array) and array.layout == "C" and array.aligned):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), lower


def _pointer_from_address(base: types.Type, doc: str) -> Any:
    def typed(typingctx: Any, address: Any) -> Any:
        if not _are_whole(address):
            return None
        result = types.CPointer(base)

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(result))

        return result(types.intp), lower

    return intrinsic(typed, f"{base}_at", doc)


uint8_at = _pointer_from_address(types.uint8, "A pointer to uint8 at an integer address.")
int32_at = _pointer_from_address(types.int32, "A pointer to int32 at an integer address.")
int64_at = _pointer_from_address(types.int64, "A pointer to int64 at an integer address.")
float32_at = _pointer_from_address(types.float32, "A pointer to float32 at an integer address.")
float64_at = _pointer_from_address(types.float64, "A pointer to float64 at an integer address.")


@intrinsic
def pointer_at(typingctx: Any, like: Any, address: Any) -> Any:
    """A pointer of the type of another at an integer address."""
    if not (_is_pointer(like) and _are_whole(address)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[1], args[0].type)

    return like(like, types.intp), lower


@intrinsic
def get_offset(typingctx: Any, base: Any, offset: Any) -> Any:
    """The scalar `offset` bytes after `base`, of the type that it points to; at any alignment."""
    if not (_is_pointer(base) and _are_whole(offset)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        place = builder.bitcast(builder.gep(start, [args[1]]), args[0].type)
        return builder.load(place, align=1)

    return base.dtype(base, types.intp), lower


@intrinsic
def advance(typingctx: Any, base: Any, count: Any) -> Any:
    """The pointer `count` elements after `base`."""
    if not (_is_pointer(base) and _are_whole(count)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return base(base, types.intp), lower


@intrinsic
def get(typingctx: Any, base: Any, index: Any) -> Any:
    """The scalar at `base[index]`."""
    if not (_is_pointer(base) and _are_whole(index)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [args[1]]))

    return base.dtype(base, types.intp), lower


@intrinsic
def put(typingctx: Any, base: Any, index: Any, value: Any) -> Any:
    """Store the scalar `value`, of the type that `base` points to, at `base[index]`."""
    if not (_is_pointer(base) and _are_whole(index) and types.unliteral(value) == base.dtype):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(base, types.intp, base.dtype), lower


def emit_vector_pointer(builder: Any, base: Any, index: Any, vector: ir.VectorType) -> Any:
    """Emit the address of a vector that starts at element `index` of `base`."""
    return builder.bitcast(builder.gep(base, [index]), vector.as_pointer())


def element_alignment(vector: ir.VectorType) -> int:
    """Alignment to state for unaligned access; LLVM would assume that of the whole vector."""
    return 8 if "double" in str(vector.element) or "64" in str(vector.element) else 4


def _loader(n_vectors: int, name: str, doc: str) -> Any:
    def typed(typingctx: Any, base: Any, index: Any) -> Any:
        if not (_points_to(base, types.Number) and _are_whole(index)):
            return None
        vector = Vector(base.dtype, n_vectors * vector_of(base.dtype).lanes)

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = emit_vector_pointer(builder, args[0], args[1], vector.llvm)
            return builder.load(place, align=element_alignment(vector.llvm))

        return vector(base, types.intp), lower

    return intrinsic(typed, name, doc)


load = _loader(1, "load", "The vector that starts at `base[index]`; no alignment needed.")
load_row = _loader(
    ISA.tile_vectors,
    "load_row",
    "The row of a register tile that starts at `base[index]`, as one long vector: formulas bound "
    "by latency gain, since its registers are worked on side by side.",
)


@intrinsic
def load_converted(typingctx: Any, base: Any, index: Any, like: Any) -> Any:
    """The elements from `base[index]` on (uint8 or floats), as a vector for the pointer `like`."""
    if not (_is_pointer(base) and _points_to(like, types.Float) and _are_whole(index)):
        return None
    if not (base.dtype == types.uint8 or isinstance(base.dtype, types.Float)):
        return None
    vector = vector_of(like.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = ir.VectorType(args[0].type.pointee, vector.lanes)
        place = emit_vector_pointer(builder, args[0], args[1], source)
        value = builder.load(place, align=1)  # packed records are not aligned
        if base.dtype == like.dtype:
            return value
        if isinstance(base.dtype, types.Integer):
            return builder.uitofp(value, vector.llvm)
        if base.dtype.bitwidth < like.dtype.bitwidth:
            return builder.fpext(value, vector.llvm)
        return builder.fptrunc(value, vector.llvm)

    return vector(base, types.intp, like), lower


def _storer(name: str, doc: str, *, past_caches: bool) -> Any:
    def typed(typingctx: Any, base: Any, index: Any, value: Any) -> Any:
        if not (_points_to(base, types.Number) and _are_whole(index)):
            return None
        if not (isinstance(value, Vector) and value.base == base.dtype):
            return None

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = emit_vector_pointer(builder, args[0], args[1], value.llvm)
            stored = builder.store(args[2], place, align=element_alignment(value.llvm))
            if past_caches:
                stored.align = min(value.lanes * value.base.bitwidth // 8, CACHE_LINE)
                one = builder.module.add_metadata([ir.IntType(32)(1)])
                stored.set_metadata("nontemporal", one)
            return context.get_dummy_value()

        return types.void(base, types.intp, value), lower

    return intrinsic(typed, name, doc)


store = _storer(
    "store",
    "Store a vector at `base[index]` and after, elements of its type; no alignment needed.",
    past_caches=False,
)
stream = _storer(
    "stream",
    "As `store`, past the caches: the place is one of a cache line, or of a smaller vector's size. "
    "Others see it once the team has met: on x86 such stores are in the order of no other store, "
    "but are done before any instruction that adds to a shared word in one piece.",
    past_caches=True,
)


@intrinsic
def stack(typingctx: Any, like: Any, count: Any) -> Any:
    """A buffer of `count` (a literal) elements on the stack of the calling function.

    It is one place per call of that function, not one per iteration of a loop in it.
    """
    if not (_is_pointer(like) and isinstance(count, types.IntegerLiteral)):
        return None
    size = count.literal_value

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = args[0].type.pointee
        with builder.goto_entry_block():
            buffer = builder.alloca(ir.ArrayType(element, size))
            buffer.align = 64
        return builder.bitcast(buffer, element.as_pointer())

    return like(like, count), lower


def emit_prefetch(builder: Any, place: Any) -> None:
    """Emit that the cache line of a place is asked for, into all caches."""
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(place, byte), word(0), word(3), word(1)])


@intrinsic
def prefetch(typingctx: Any, base: Any, index: Any) -> Any:
    """Ask for the cache line of `base[index]`, which will be written, ahead of its use."""
    if not (_is_pointer(base) and _are_whole(index)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit_prefetch(builder, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(base, types.intp), lower


@intrinsic
def sum_eight(typingctx: Any, base: Any, index: Any) -> Any:
    """The sum of the 8 elements at `base[index]`, by the tree of `simd.emit_sums_of_eight`."""
    if not (_points_to(base, types.Float) and _are_whole(index)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = ir.VectorType(args[0].type.pointee, 8)
        place = emit_vector_pointer(builder, args[0], args[1], vector)
        values = builder.load(place, align=element_alignment(vector))
        return builder.extract_element(emit_sums_of_eight(builder, values), ir.IntType(32)(0))

    return base.dtype(base, types.intp), lower


@intrinsic
def transpose_square(
    typingctx: Any, out: Any, out_stride: Any, source: Any, source_stride: Any
) -> Any:
    """Transpose a square of lanes x lanes elements from `source` to `out` (row strides given).

    Eklundh's algorithm: log2(lanes) rounds, each of which exchanges blocks between row pairs.
    """
    if not (_points_to(out, types.Number) and out == source):
        return None
    if not _are_whole(out_stride, source_stride):
        return None
    vector = vector_of(out.dtype)
    count = vector.lanes

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        out_base, out_step, source_base, source_step = args
        word = ir.IntType(32)
        align = element_alignment(vector.llvm)
        rows = []
        for r in range(count):
            index = builder.mul(source_step, source_step.type(r))
            place = emit_vector_pointer(builder, source_base, index, vector.llvm)
            rows.append(builder.load(place, align=align))
        distance = count // 2
        while distance:
            upper = [j if not j & distance else count + j - distance for j in range(count)]
            lower_ = [j + distance if not j & distance else count + j for j in range(count)]
            mask_type = ir.VectorType(word, count)
            for r in range(count):
                if not r & distance:
                    a, b = rows[r], rows[r + distance]
                    rows[r] = builder.shuffle_vector(a, b, ir.Constant(mask_type, upper))
                    rows[r + distance] = builder.shuffle_vector(
                        a, b, ir.Constant(mask_type, lower_)
                    )
            distance //= 2
        for r in range(count):
            index = builder.mul(out_step, out_step.type(r))
            place = emit_vector_pointer(builder, out_base, index, vector.llvm)
            builder.store(rows[r], place, align=align)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp), lower


@intrinsic
def lane_count(typingctx: Any, base: Any) -> Any:
    """The lanes of a vector, or of one vector of what the pointer `base` points to; a constant."""
    if isinstance(base, Vector):
        count = base.lanes
    elif _points_to(base, types.Number):
        count = vector_of(base.dtype).lanes
    else:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(base), lower


@intrinsic
def cast(typingctx: Any, base: Any, x: Any) -> Any:
    """The scalar `x` converted to the type that `base` points to."""
    if not (_is_pointer(base) and isinstance(x, types.Integer | types.Float)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[1], x, base.dtype)

    return base.dtype(base, x), lower


def _emit_mask(builder: Any, n: Any, count: int) -> Any:
    """Emit the mask of the first n of `count` lanes."""
    lanes = ir.Constant(ir.VectorType(n.type, count), list(range(count)))
    return builder.icmp_signed("<", lanes, emit_splat(builder, n, count))


def _masked(builder: Any, name: str, vector: Vector, result: Any, arguments: list[Any]) -> Any:
    """Emit a call of LLVM's masked load or store."""
    suffix = f"v{vector.lanes}f{vector.base.bitwidth}.p0"
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.{name}.{suffix}")
    return builder.call(function, arguments)


@intrinsic
def _load_first(typingctx: Any, base: Any, index: Any, n: Any) -> Any:
    """The vector at `base[index]`, of which n lanes are read and the others are zero."""
    if not (_points_to(base, types.Float) and _are_whole(index, n)):
        return None
    vector = vector_of(base.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = emit_vector_pointer(builder, args[0], args[1], vector.llvm)
        zero = ir.Constant(vector.llvm, [vector.llvm.element(0.0)] * vector.lanes)
        align = ir.IntType(32)(element_alignment(vector.llvm))
        mask = _emit_mask(builder, args[2], vector.lanes)
        return _masked(builder, "load", vector, vector.llvm, [place, align, mask, zero])

    return vector(base, types.intp, types.intp), lower


@intrinsic
def _store_first(typingctx: Any, base: Any, index: Any, value: Any, n: Any) -> Any:
    """Store n lanes of a vector at `base[index]`."""
    if not (_points_to(base, types.Float) and _are_whole(index, n)):
        return None
    if not (isinstance(value, Vector) and value.base == base.dtype):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = emit_vector_pointer(builder, args[0], args[1], value.llvm)
        align = ir.IntType(32)(element_alignment(value.llvm))
        mask = _emit_mask(builder, args[3], value.lanes)
        _masked(builder, "store", value, ir.VoidType(), [args[2], place, align, mask])
        return context.get_dummy_value()

    return types.void(base, types.intp, value, types.intp), lower


@device_function
def load_some(base: Pointer, place: Word, n: Word) -> Vector:
    """The vector at base[place]; lanes from n on are zero and not read.

    Masked access is for the last columns only: on some processors a masked store takes long.
    """
    if n >= lane_count(base):
        return load(base, place)
    return _load_first(base, place, n)


@device_function
def store_some(base: Pointer, place: Word, value: Vector, n: Word) -> None:
    """Store the first n lanes of a vector at base[place]."""
    if n >= lane_count(value):
        store(base, place, value)
    else:
        _store_first(base, place, value, n)
