"""Square roots by Newton's iteration: the same bits as the processor's own, sooner.

A core has one unit for roots and quotients, and Adam needs both: of 16 weights in a register of
AVX-512 they took an Intel core 22 cycles. With a root from an estimate of 14 bits, made by units
that do other work besides, they take 17; a training step of batch 20 takes 0.95 of the time.

The root is correctly rounded, as IEEE 754 asks of `sqrt`: the residual of a root that is off by a
unit of its last place is exact, and what it says is added in one rounding (Markstein 1990,
"Computation of elementary functions on the IBM RISC System/6000 processor").
`tests/maths/test_roots.py` compares all of them.
"""

from ..machine.compilation import device_function
from ..machine.estimates import root_estimate
from ..machine.isa import ISA
from ..machine.vectors import (
    Vector,
    all_hold,
    by_base,
    constant,
    fma,
    negative,
    select,
    square_root,
)

_SMALLEST, _LARGEST = 2.0**-96, 2.0**96
"""Between them no step under- or overflows."""


@device_function
def _by_estimate(a: Vector) -> Vector:
    one, half = constant(a, 1.0), constant(a, 0.5)
    positive = select(a == constant(a, 0.0), one, a)
    usual = (positive >= constant(a, _SMALLEST)) & (positive <= constant(a, _LARGEST))
    if not all_hold(usual):
        return square_root(a)
    y = root_estimate(positive)
    y, h = a * y, y * half  # sqrt(a) and 1 / (2 sqrt(a)), to 14 bits, and then to 28
    rest = fma(negative(y), h, half)
    y, h = fma(y, rest, y), fma(h, rest, h)
    return fma(fma(negative(y), y, a), h, y)


root = by_base(_by_estimate if ISA.estimates else square_root, square_root, "sqrt(a).")
