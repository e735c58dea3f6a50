"""Binary rows of grey ones: each value p in [0, 1] becomes 1 or 0.

A Bernoulli likelihood gives probabilities to data of 0 and 1 only. Images with grey pixels are
made such data in three ways; p is never less likely to be 1 for being larger, 0 stays 0, 1 stays 1.

References
----------
Salakhutdinov & Murray (2008), "On the quantitative analysis of deep belief networks", section 4.1:
each pixel is drawn as 1 with its value as the probability. Burda, Grosse & Salakhutdinov (2016),
"Importance weighted autoencoders", appendix D: it is drawn anew whenever it is trained on.
"""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Word
from ..machine.memory import advance, lane_count, load_some, stack, store_some
from ..machine.vectors import Vector, constant, nonzero_bits, select
from .philox import uniform_range

DYNAMIC, THRESHOLD, FIXED = range(3)
BINARIZATIONS = {"dynamic": DYNAMIC, "threshold": THRESHOLD, "fixed": FIXED}
"""Ways to make rows binary, with their codes: a new draw at each visit; 1 from 0.5 on; one draw for
all visits."""

_GROUP = 64
"""Values that are drawn for together: as many as the blocks of one vector of counters give."""


@device_function
def threshold_row(x: Pointer, n: Word) -> None:
    """x[0:n] = 1 where x >= 0.5, else 0; NaN stays."""
    for c in range(0, n, lane_count(x)):
        value = load_some(x, c, n - c)
        store_some(x, c, _binary(constant(value, 0.5), value), n - c)


@device_function
def draw_row(x: Pointer, n: Word, first: Word, seed: Word, stream: Word, step: Word) -> None:
    """x[c] = 1 where u <= x[c], else 0, with u in (0, 1] element first + c of a stream; NaN stays.

    Where all values are zero no numbers are drawn: no u is zero.
    """
    draws = stack(x, _GROUP)
    count = lane_count(x)
    for start in range(first - first % _GROUP, first + n, _GROUP):
        begin, end = max(start, first), min(start + _GROUP, first + n)
        place = advance(x, begin - first)
        n_values = end - begin
        bits = np.uint64(0)
        for c in range(0, n_values, count):
            bits |= nonzero_bits(load_some(place, c, n_values - c))
        if bits == np.uint64(0):
            continue
        uniform_range(advance(draws, -begin), begin, end, seed, stream, step)
        for c in range(0, n_values, count):
            value = load_some(place, c, n_values - c)
            u = load_some(draws, c, n_values - c)
            store_some(place, c, _binary(u, value), n_values - c)


@device_function
def _binary(least: Vector, value: Vector) -> Vector:
    """1 where value >= least, else 0; NaN stays NaN."""
    return select(least <= value, constant(value, 1.0), value - value)
