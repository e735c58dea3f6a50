"""The processor's estimate of 1 / sqrt(x), to 14 bits, of a register of AVX-512.

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
    """1 / sqrt(a) within 2^-14, relative, of one register of float32, where ISA `estimates`."""
    if not (is_vector(a, types.Float) and a.base == types.float32 and ISA.estimates):
        return None
    if a.lanes != _LANES:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        register, mask = args[0].type, ir.IntType(_LANES)
        kind = ir.FunctionType(register, [register, register, mask])
        function = cgutils.get_or_insert_function(
            builder.module, kind, "llvm.x86.avx512.rsqrt14.ps.512"
        )
        return builder.call(function, [args[0], ir.Constant(register, ir.Undefined), mask(-1)])

    return a(a), lower
