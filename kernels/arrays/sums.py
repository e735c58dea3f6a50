"""Sums of two arrays, each with a weight: what trees of sums are made of."""

import numpy as np
from numba import prange

from ..machine.compilation import device_function, parallel_kernel
from ..machine.kinds import Pointer, Real, Record, Word
from ..machine.launching import launch
from ..machine.memory import advance, cast, lane_count, load, load_some, pointer, store, store_some
from ..machine.subnormals import flush_subnormals, restore_mode
from ..machine.vectors import splat
from .arguments import checked, real_number

_BLOCK = 4096  # elements of a task, a multiple of every vector width


@device_function
def _sum_span(out: Pointer, a: Pointer, b: Pointer, n: Word, wa: Real, wb: Real) -> None:
    weight_a, weight_b = splat(cast(a, wa)), splat(cast(a, wb))
    count = lane_count(a)
    whole = n - n % count
    for e in range(0, whole, count):
        store(out, e, load(a, e) * weight_a + load(b, e) * weight_b)
    if whole < n:
        left = n - whole
        last = load_some(a, whole, left) * weight_a + load_some(b, whole, left) * weight_b
        store_some(out, whole, last, left)


@parallel_kernel
def _weighted_sum(out: Record, a: Record, b: Record, weight_a: Real, weight_b: Real) -> None:
    for task in prange((out.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        n = min(_BLOCK, out.size - first)
        target, left = advance(pointer(out), first), advance(pointer(a), first)
        right = advance(pointer(b), first)
        mode = flush_subnormals()
        _sum_span(target, left, right, n, weight_a, weight_b)
        restore_mode(mode)


def weighted_sum(
    out: np.ndarray, a: np.ndarray, b: np.ndarray, weight_a: float, weight_b: float
) -> None:
    """Compute out = weight_a a + weight_b b, each product rounded before the sum.

    So a product that was computed elsewhere, and has a weight of 1 here, gives the same bits.

    Parameters
    ----------
    out, a, b : ndarray, shape (n,), float32 or float64
        `out` may be one of the two.
    weight_a, weight_b : float
    """
    out, a, b = checked("N N N", 1, out=out, a=a, b=b)
    weights = real_number(weight_a, "weight_a"), real_number(weight_b, "weight_b")
    launch(_weighted_sum, out, a, b, *weights)
