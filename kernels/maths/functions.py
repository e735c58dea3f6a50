"""Elementary functions of vectors: exp, log, log1p, sigmoid, tanh, softplus, sin and cos.

In float32 they are polynomials that keep the whole vector busy (LLVM calls libm lane by lane,
about 20 times slower), accurate to a few units in the last place. In float64, which serves the
verification of gradients and not speed, they go through libm. NaN passes through all of them.

The coefficients are weighted least-maximum fits of the relative error, made for the intervals
that are named beside them. Polynomials on the way of the loss are split (Estrin's scheme): that
way is limited by latency, not by the number of instructions.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Vectors
from ..machine.vectors import (
    Vector,
    absolute,
    as_float,
    as_integer,
    by_base,
    constant,
    fma,
    libm_cos,
    libm_exp,
    libm_log,
    libm_sin,
    negative,
    select,
    to_float,
)

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has few bits, so that n * ln 2 is exact for every exponent n.
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4
_EXP_MAX = 88.7228317  # the largest float32 whose exp is finite
_EXP_MIN = -87.3  # exp below this is flushed to 0: subnormal results are slow and useless
_ROUNDER = 12582912.0  # 1.5 * 2**23
_TANH_SMALL = 0.625


@device_function
def _exp32_below(x: Vector) -> Vector:
    """exp of x <= 88.72 (or NaN)."""
    # n = x / ln 2 is rounded by adding a number whose last bit counts ones, which leaves n in the
    # low bits; n ln 2 is taken off so that |r| <= 0.347, and exp(r) - 1 - r = r^2 q(r) there
    # within 3e-9. k takes a NaN's payload for an exponent, so NaN passes by the other side of the
    # last select, which is 0 where x was too low.
    low = constant(x, _EXP_MIN)
    bounded = select(x < low, low, x)
    shifted = fma(bounded, constant(x, _LOG2_E), constant(x, _ROUNDER))
    n = shifted - constant(x, _ROUNDER)
    r = fma(n, constant(x, -_LN2_HIGH), bounded)
    r = fma(n, constant(x, -_LN2_LOW), r)
    square = r * r
    q = fma(constant(x, 0.008368851), r, constant(x, 0.0416684))
    q = fma(constant(x, 0.001381432), square, q)
    q = fma(q, square, fma(constant(x, 0.1666652), r, constant(x, 0.49999994)))
    p = fma(q, square, r) + constant(x, 1.0)
    k = as_integer(shifted)
    y = as_float(as_integer(p) + (k << constant(k, 23)))
    return select(x >= low, y, bounded - low)


@device_function
def _exp32(x: Vector) -> Vector:
    high = constant(x, _EXP_MAX)
    return select(x > high, constant(x, np.inf), _exp32_below(select(x > high, high, x)))


@device_function
def _log32(x: Vector) -> Vector:
    # x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m by a fit in m - 1. Normal x > 0 only.
    bits = as_integer(x)
    e = (bits - constant(bits, 0x3F3504F3)) >> constant(bits, 23)
    m = as_float(bits - (e << constant(e, 23)))
    f = m - constant(x, 1.0)
    n = to_float(e)
    q = fma(f, constant(x, -0.07634493), constant(x, 0.12761575))
    q = fma(q, f, constant(x, -0.13160183))
    q = fma(q, f, constant(x, 0.14201759))
    q = fma(q, f, constant(x, -0.16623357))
    q = fma(q, f, constant(x, 0.20001227))
    q = fma(q, f, constant(x, -0.2500082))
    q = fma(q, f, constant(x, 0.3333333))
    square = f * f
    tail = fma(n, constant(x, _LN2_LOW), q * square * f)
    tail = fma(square, constant(x, -0.5), tail)
    y = fma(n, constant(x, _LN2_HIGH), f + tail)
    return select(x != x, x, y)


@device_function
def _log1p32(y: Vector) -> Vector:
    # log(1 + y) = y q(y - 1/2) for y in [0, 1], by a fit of q: no cancellation for small y, and
    # no division, of which the loss has one already.
    f = y - constant(y, 0.5)
    square = f * f
    even = fma(constant(y, 0.00523269), square, constant(y, 0.011586479))
    even = fma(even, square, constant(y, 0.03663386))
    even = fma(even, square, constant(y, 0.13260908))
    even = fma(even, square, constant(y, 0.8109302))
    odd = fma(constant(y, -0.00857446), square, constant(y, -0.020228246))
    odd = fma(odd, square, constant(y, -0.06771145))
    odd = fma(odd, square, constant(y, -0.28852668))
    return fma(odd, f, even) * y


@device_function
def _tanh32(x: Vector) -> Vector:
    size = absolute(x)
    e = _exp32_below(size * constant(x, -2.0))
    large = (constant(x, 1.0) - e) / (constant(x, 1.0) + e)
    large = select(x < constant(x, 0.0), negative(large), large)
    t = x * x
    q = fma(t, constant(x, 0.0021475398), constant(x, -0.008182677))
    q = fma(q, t, constant(x, 0.02170297))
    q = fma(q, t, constant(x, -0.053947203))
    q = fma(q, t, constant(x, 0.1333321))
    q = fma(q, t, constant(x, -0.3333333))
    small = fma(q * t, x, x)
    return select(size < constant(x, _TANH_SMALL), small, large)


@device_function
def _turn32(u: Vector) -> Vectors:
    # One turn is reduced to |r| <= 1/8 around the nearest quarter; the quarter picks the branch. It
    # is rounded as in _exp32_below, since converting NaN to an integer is not defined.
    shifted = fma(u, constant(u, 4.0), constant(u, _ROUNDER))
    r = fma(shifted - constant(u, _ROUNDER), constant(u, -0.25), u)
    k = as_integer(shifted)
    t = r * r
    s = fma(t, constant(u, 41.487007), constant(u, -76.698364))
    s = fma(s, t, constant(u, 81.60521))
    s = fma(s, t, constant(u, -41.3417))
    s = fma(s, t, constant(u, 6.2831855)) * r
    c = fma(t, constant(u, 59.244972), constant(u, -85.44372))
    c = fma(c, t, constant(u, 64.93932))
    c = fma(c, t, constant(u, -19.739208))
    c = fma(c, t, constant(u, 1.0))
    one = constant(k, 1)
    two = constant(k, 2)
    swapped = (k & one) == one
    cosine = select(swapped, s, c)
    sine = select(swapped, c, s)
    cosine = select(((k + one) & two) == two, negative(cosine), cosine)
    sine = select((k & two) == two, negative(sine), sine)
    return cosine, sine


@device_function
def _log1p64(y: Vector) -> Vector:
    # The classical correction of log(1 + y) for the rounding of 1 + y.
    one = constant(y, 1.0)
    u = one + y
    return libm_log(u) + (y - (u - one)) / u


@device_function
def _tanh64(x: Vector) -> Vector:
    # With expm1(a) = (u - 1) a / log(u), u = exp(a): accurate for small x too (Kahan).
    one = constant(x, 1.0)
    a = constant(x, -2.0) * absolute(x)
    u = libm_exp(a)
    difference = u - one
    usual = (u > constant(x, 1e-300)) & (u != one)
    quotient = difference * a / libm_log(select(usual, u, constant(x, 2.0)))
    expm1 = select(usual, quotient, select(u == one, a, difference))
    y = negative(expm1) / (constant(x, 2.0) + expm1)
    y = select(x < constant(x, 0.0), negative(y), y)
    return select(x != x, x, y)


@device_function
def _turn64(u: Vector) -> Vectors:
    angle = u * constant(u, 2.0 * np.pi)
    return libm_cos(angle), libm_sin(angle)


exp = by_base(_exp32, libm_exp, "exp(x); float32: within 2 ulp, 0 below -87.3 and inf above 88.72.")
exp_of_negative = by_base(_exp32_below, libm_exp, "exp(x) of x <= 0, in fewer instructions.")
log = by_base(_log32, libm_log, "log(x) of normal x > 0; float32: within 2 ulp.")
log1p = by_base(_log1p32, _log1p64, "log(1 + x) for x in [0, 1]; float32: within 3 ulp.")
tanh = by_base(_tanh32, _tanh64, "tanh(x); float32: within 4 ulp.")
cos_sin_turn = by_base(
    _turn32,
    _turn64,
    "(cos(2 pi u), sin(2 pi u)) for u in [0, 1]; float32: absolute error below 2e-7.",
)


@device_function
def sigmoid(x: Vector) -> Vector:
    """1 / (1 + exp(-x)) by exp(-|x|), so that nothing overflows; float32: within 4 ulp."""
    one = constant(x, 1.0)
    e = exp_of_negative(negative(absolute(x)))
    return select(x < constant(x, 0.0), e, one) / (one + e)


@device_function
def softplus(x: Vector) -> Vector:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); float32: within 4 ulp."""
    return rectify(x) + log1p(exp_of_negative(negative(absolute(x))))


@device_function
def rectify(x: Vector) -> Vector:
    """max(x, 0), written so that NaN passes: the comparison is false for NaN."""
    zero = constant(x, 0.0)
    return select(x <= zero, zero, x)
