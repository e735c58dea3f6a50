"""The processor's estimate of 1 / sqrt(x), to 14 bits, of whole registers of AVX-512.

Processors may differ in its last bits: what is made of it must not.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .isa import ISA
from .vectors import intrinsic, is_vector

_LANES = 16


@intrinsic
def root_estimate(typingctx: Any, a: Any) -> Any:
    """1 / sqrt(a) within 2^-14, relative, of float32 where ISA `estimates`."""
    if not (is_vector(a, types.Float) and a.base == types.float32 and ISA.estimates):
        return None
    if a.lanes % _LANES != 0:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        register = ir.VectorType(ir.FloatType(), _LANES)
        mask = ir.IntType(_LANES)
        kind = ir.FunctionType(register, [register, register, mask])
        function = cgutils.get_or_insert_function(
            builder.module, kind, "llvm.x86.avx512.rsqrt14.ps.512"
        )
        rest = [ir.Constant(register, ir.Undefined), mask(-1)]
        parts = [
            builder.call(function, [_shuffled(builder, args[0], args[0], first, _LANES), *rest])
            for first in range(0, a.lanes, _LANES)
        ]
        while len(parts) > 1:
            count = 2 * parts[0].type.count
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [_shuffled(builder, *pair, 0, count) for pair in pairs]
        return parts[0]

    return a(a), lower


def _shuffled(builder: Any, left: Any, right: Any, first: int, count: int) -> Any:
    """Emit `count` lanes of left and right, side by side, from lane `first` on."""
    numbers = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
    return builder.shuffle_vector(left, right, numbers)
