"""Explicit vectors for Numba code: a vector type, its operators and its arithmetic.

A `Vector` is one register of elements of a base type, or a few that are worked on side by side.
Kernels written with it stay plain Python: `fma(a, b, c)`, `select(x > zero, x, y)`, `x * x + y`.
The number of lanes follows from the base type and the instruction set (`_isa`), so the same
source serves AVX-512, AVX2, NEON and the generic case. `memory` loads and stores vectors.

Operators carry only the fast-math flag `nsz`: products and sums are never contracted behind a
kernel's back, so that the same formula gives the same bits wherever it is inlined; a fused
multiply-add is written `fma`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import overload

from .isa import ISA, lanes

VECTOR_FLAGS = ("nsz",)

LLVM_BASE = {
    types.boolean: ir.IntType(1),
    types.int32: ir.IntType(32),
    types.uint32: ir.IntType(32),
    types.int64: ir.IntType(64),
    types.uint64: ir.IntType(64),
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
}
_INTEGER_OF = {types.float32: types.int32, types.float64: types.int64}
_FLOAT_OF = {types.int32: types.float32, types.int64: types.float64}


def intrinsic(function: Callable[..., Any], name: str = "", doc: str = "") -> Any:
    """Numba's `intrinsic`, whose own type would hide the arguments that kernels pass."""
    function.__name__, function.__doc__ = name or function.__name__, doc or function.__doc__
    return _numba_intrinsic(function)


class Vector(types.Type):
    """Numba type of one vector: `lanes` elements of `base`."""

    def __init__(self, base: types.Type, lanes: int) -> None:
        self.base = base
        self.lanes = lanes
        super().__init__(name=f"Vector({base}, {lanes})")

    @property
    def llvm(self) -> ir.VectorType:
        return ir.VectorType(LLVM_BASE[self.base], self.lanes)

    def with_base(self, base: types.Type) -> Vector:
        return Vector(base, self.lanes)


@register_default(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, fe_type.llvm)


def vector_of(base: types.Type) -> Vector:
    """Return the vector type that holds `base` on this instruction set."""
    return Vector(base, lanes(base.bitwidth // 8))


def is_vector(kind: Any, base: Any) -> bool:
    """Whether a Numba type is a vector whose elements are of the class `base`."""
    return isinstance(kind, Vector) and isinstance(kind.base, base)


# --- operators ---------------------------------------------------------------------------


def _register_binary(op: Any, **names: str) -> None:
    """Define an operator: `names` are LLVM's instructions for the kinds of base that it takes."""

    def instruction(vector: Vector) -> str:
        return names.get(_kind(vector.base), "")

    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(args[0], *args) if instruction(args[0]) else None
            return None

    @lower_builtin(op, Vector, Vector)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        flags = VECTOR_FLAGS if isinstance(sig.args[0].base, types.Float) else ()
        return getattr(builder, instruction(sig.args[0]))(*args, flags=flags)


def _kind(base: types.Type) -> str:
    if isinstance(base, types.Float):
        return "real"
    if isinstance(base, types.Boolean):
        return "mask"
    return "signed" if base.signed else "unsigned"


_register_binary(operator.add, real="fadd", signed="add", unsigned="add")
_register_binary(operator.sub, real="fsub", signed="sub", unsigned="sub")
_register_binary(operator.mul, real="fmul", signed="mul", unsigned="mul")
_register_binary(operator.truediv, real="fdiv")
_register_binary(operator.and_, mask="and_", signed="and_", unsigned="and_")
_register_binary(operator.or_, mask="or_", signed="or_", unsigned="or_")
_register_binary(operator.xor, mask="xor", signed="xor", unsigned="xor")
_register_binary(operator.lshift, signed="shl", unsigned="shl")
_register_binary(operator.rshift, signed="ashr", unsigned="lshr")


def _register_comparison(op: Any, predicate: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and is_vector(args[0], types.Number) and args[0] == args[1]:
                return signature(args[0].with_base(types.boolean), *args)
            return None

    @lower_builtin(op, Vector, Vector)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = sig.args[0].base
        if isinstance(base, types.Float):
            if predicate == "!=":  # true for NaN, as in IEEE 754
                return builder.fcmp_unordered(predicate, *args, flags=VECTOR_FLAGS)
            return builder.fcmp_ordered(predicate, *args, flags=VECTOR_FLAGS)
        compare = builder.icmp_signed if base.signed else builder.icmp_unsigned
        return compare(predicate, *args)


for _op, _predicate in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
    (operator.ne, "!="),
):
    _register_comparison(_op, _predicate)


def emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Emit a * b + c: rounded once where the hardware can, else product first."""
    if not ISA.fused:
        product = builder.fmul(a, b, flags=VECTOR_FLAGS)
        return builder.fadd(product, c, flags=VECTOR_FLAGS)
    suffix = "f32" if "float" in str(a.type) else "f64"
    name = (
        f"llvm.fma.v{a.type.count}{suffix}"
        if isinstance(a.type, ir.VectorType)
        else (f"llvm.fma.{suffix}")
    )
    function_type = ir.FunctionType(a.type, [a.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [a, b, c])


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of vectors or scalars of one type, float32 or float64."""
    if not (a == b == c and (a in _INTEGER_OF or is_vector(a, types.Float))):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_fma(builder, *args)

    return a(a, b, c), lower


@intrinsic
def select(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """Lane by lane: a where mask holds, else b."""
    if not (is_vector(mask, types.Boolean) and isinstance(a, Vector) and a == b):
        return None
    if mask.lanes != a.lanes:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, b), lower


def _emit_unary(builder: Any, name: str, value: Any, vector: Vector) -> Any:
    suffix = "f32" if vector.base == types.float32 else "f64"
    function_type = ir.FunctionType(value.type, [value.type])
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.{name}.v{vector.lanes}{suffix}"
    )
    return builder.call(function, [value])


def _unary(name: str, doc: str) -> Any:
    def typed(typingctx: Any, a: Any) -> Any:
        if not is_vector(a, types.Float):
            return None

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _emit_unary(builder, name, args[0], sig.args[0])

        return a(a), lower

    return intrinsic(typed, name, doc)


@intrinsic
def negative(typingctx: Any, a: Any) -> Any:
    """-a of a float vector."""
    if not is_vector(a, types.Float):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(args[0].type, [args[0].type.element(-0.0)] * a.lanes)
        return builder.fsub(zero, args[0], flags=VECTOR_FLAGS)

    return a(a), lower


absolute = _unary("fabs", "|a| of a float vector.")
square_root = _unary("sqrt", "Correctly rounded square root of a float vector.")
# These three call libm lane by lane; they serve float64, which is for verification.
libm_exp = _unary("exp", "exp of a float vector, lane by lane through libm.")
libm_log = _unary("log", "log of a float vector, lane by lane through libm.")
libm_sin = _unary("sin", "sin of a float vector, lane by lane through libm.")
libm_cos = _unary("cos", "cos of a float vector, lane by lane through libm.")


@intrinsic
def nonzero_bits(typingctx: Any, a: Any) -> Any:
    """A uint64 whose bit j says that lane j of a float vector is not zero (NaN is not)."""
    if not (is_vector(a, types.Float) and a.lanes <= 64):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(args[0].type, [LLVM_BASE[a.base](0.0)] * a.lanes)
        different = builder.fcmp_unordered("!=", args[0], zero, flags=VECTOR_FLAGS)
        bits = builder.bitcast(different, ir.IntType(a.lanes))
        return builder.zext(bits, ir.IntType(64)) if a.lanes < 64 else bits

    return types.uint64(a), lower


@intrinsic
def all_hold(typingctx: Any, mask: Any) -> Any:
    """Whether a mask holds in every lane."""
    if not is_vector(mask, types.Boolean):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(mask.lanes)
        return builder.icmp_unsigned("==", builder.bitcast(args[0], word), word(-1))

    return types.boolean(mask), lower


@intrinsic
def trailing_zeros(typingctx: Any, bits: Any) -> Any:
    """The position of the lowest bit that is set in a 64-bit integer that is not 0."""
    if bits not in (types.int64, types.uint64):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(bits), lower


@intrinsic
def set_bits(typingctx: Any, bits: Any) -> Any:
    """How many bits of a uint64 are set."""
    if bits != types.uint64:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(bits), lower


@intrinsic
def compress(typingctx: Any, a: Any, bits: Any) -> Any:
    """The lanes of `a` whose bit is set in a uint64, side by side from lane 0, where ISA
    `compresses`."""
    if not (is_vector(a, types.Number) and bits == types.uint64 and ISA.compresses):
        return None
    if a.lanes * a.base.bitwidth not in (128, 256, 512):  # the registers it exists for
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = sig.args[0].llvm
        letter = "f" if isinstance(a.base, types.Float) else "i"
        mask_type = ir.VectorType(ir.IntType(1), a.lanes)
        mask = builder.bitcast(builder.trunc(args[1], ir.IntType(a.lanes)), mask_type)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector, vector, mask_type]),
            f"llvm.x86.avx512.mask.compress.v{a.lanes}{letter}{a.base.bitwidth}",
        )
        return builder.call(function, [args[0], ir.Constant(vector, ir.Undefined), mask])

    return a(a, bits), lower


@intrinsic
def numbers_from(typingctx: Any, like: Any, first: Any) -> Any:
    """The int32 vector first, first + 1, ..., with as many lanes as the vector `like`."""
    if not (isinstance(like, Vector) and isinstance(first, types.Integer)):
        return None
    result = like.with_base(types.int32)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        scalar = context.cast(builder, args[1], first, types.int32)
        steps = ir.Constant(result.llvm, list(range(result.lanes)))
        return builder.add(emit_splat(builder, scalar, result.lanes), steps)

    return result(like, first), lower


def emit_sums_of_eight(builder: Any, values: Any) -> Any:
    """Emit the sums of each 8 lanes of a float vector, by one fixed tree whatever its width:
    ((0+4)+(2+6)) + ((1+5)+(3+7))."""
    for half in (4, 2, 1):
        kept = [j for j in range(values.type.count) if not j & half]
        mask_type = ir.VectorType(ir.IntType(32), len(kept))
        undefined = ir.Constant(values.type, ir.Undefined)
        parts = [
            builder.shuffle_vector(
                values, undefined, ir.Constant(mask_type, [j + start for j in kept])
            )
            for start in (0, half)
        ]
        values = builder.fadd(*parts, flags=VECTOR_FLAGS)
    return values


@intrinsic
def sums_of_eight(typingctx: Any, a: Any) -> Any:
    """The sums of each 8 lanes of a float vector, as a vector."""
    if not (is_vector(a, types.Float) and a.lanes % 8 == 0):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_sums_of_eight(builder, args[0])

    return Vector(a.base, a.lanes // 8)(a), lower


@intrinsic
def splat(typingctx: Any, x: Any) -> Any:
    """A vector with the scalar `x` in every lane."""
    if not (x in LLVM_BASE and isinstance(x, types.Number)):
        return None
    vector = vector_of(x)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_splat(builder, args[0], vector.lanes)

    return vector(x), lower


@intrinsic
def constant(typingctx: Any, like: Any, number: Any) -> Any:
    """A vector of the type of `like` with `number`, rounded to its base type, in every lane."""
    if not (is_vector(like, types.Number) and isinstance(number, types.Integer | types.Float)):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        scalar = context.cast(builder, args[1], number, like.base)
        return emit_splat(builder, scalar, like.lanes)

    return like(like, number), lower


def emit_splat(builder: Any, scalar: Any, count: int) -> Any:
    """Emit a vector of `count` copies of `scalar`."""
    vector_type = ir.VectorType(scalar.type, count)
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(first, undefined, mask)


def _converter(name: str, emit: str, result_of: dict[Any, Any], doc: str) -> Any:
    def typed(typingctx: Any, a: Any) -> Any:
        if not (isinstance(a, Vector) and a.base in result_of):
            return None
        result = a.with_base(result_of[a.base])

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, emit)(args[0], result.llvm)

        return result(a), lower

    return intrinsic(typed, name, doc)


as_integer = _converter(
    "as_integer",
    "bitcast",
    _INTEGER_OF,
    "The bits of a float vector as signed integers of the same width.",
)
as_float = _converter(
    "as_float",
    "bitcast",
    _FLOAT_OF,
    "The bits of a signed integer vector as floats of the same width.",
)
to_float = _converter(
    "to_float",
    "sitofp",
    _FLOAT_OF,
    "A signed integer vector converted to floats of the same width.",
)


def by_base(single: Any, double: Any, doc: str) -> Any:
    """A function of float32 and of float64 vectors, each computed in its own way."""

    def function(x: Any) -> Any:
        raise TypeError("functions of vectors are for kernels")

    function.__doc__ = doc

    @overload(function)
    def choose(x: Any) -> Any:
        if not isinstance(x, Vector):
            return None
        chosen = {types.float32: single, types.float64: double}[x.base]

        def implementation(x: Any) -> Any:
            return chosen(x)

        return implementation

    return function
