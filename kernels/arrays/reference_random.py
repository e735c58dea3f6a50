"""Plain NumPy references of the random number kernels, vectorised in 64-bit integers.

`reference` imports them, so that every kernel's reference is found there.

References
----------
.. [1] J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
.. [2] G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates",
       Ann. Math. Statist. 29 (1958) 610-611.
.. [3] D. E. Knuth, "The Art of Computer Programming", vol. 2, section 3.4.2, algorithm P.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..maths.binary import BINARIZATIONS
from ..maths.philox import STREAM_BINARY_FIXED, STREAM_BINARY_ROWS

Array = npt.NDArray[Any]

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counter: Array, key: Array) -> Array:
    """Philox4x32-10 ([1]_ section 3.2): four random words of one counter.

    Parameters
    ----------
    counter : (4,) uint32
    key : (2,) uint32

    Returns
    -------
    (4,) uint32
    """
    return _philox_blocks(counter.reshape(1, 4).astype(np.uint64), key.astype(np.uint64)).reshape(4)


def uniform(out: Array, seed: int, stream: int, step: int) -> None:
    """Uniform numbers in (0, 1], each a function of (seed, stream, step, flat element).

    From the element's 32-bit word w: ``(w >> 8) 2^-24 + 2^-25`` in float32 (rounding makes the
    largest exactly 1), ``(w + 1/2) 2^-32`` in float64.

    Parameters
    ----------
    out : C-contiguous, any shape
    seed, stream, step : int, not negative
    """
    words = _words(out.size, seed, stream, step)
    out.reshape(-1)[:] = _to_uniform(words, out.dtype)


def normal(out: Array, seed: int, stream: int, step: int) -> None:
    """Standard normal numbers by Box and Muller's transform [2]_ of `uniform` ones.

    Of each pair: ``n0 = r cos(2 pi u1)``, ``n1 = r sin(2 pi u1)``, ``r = sqrt(-2 log u0)``.

    Parameters
    ----------
    out : C-contiguous, any shape
    seed, stream, step : int, not negative
    """
    words = _words(out.size + out.size % 2, seed, stream, step)
    pairs = _to_uniform(words, out.dtype).reshape(-1, 2)
    radius = np.log(pairs[:, 0])
    radius *= -2
    np.sqrt(radius, out=radius)
    angle = pairs[:, 1] * (2 * np.pi)
    np.multiply(radius, np.cos(angle), out=pairs[:, 0])
    np.multiply(radius, np.sin(angle), out=pairs[:, 1])
    out.reshape(-1)[:] = pairs.reshape(-1)[: out.size]


def normal_from(out: Array, first: int, seed: int, stream: int, step: int) -> None:
    """Elements first, first + 1, ... of what `normal` draws for a longer array.

    Parameters
    ----------
    out : C-contiguous, any shape
    first, seed, stream, step : int, not negative
    """
    whole = np.empty(first + out.size, out.dtype)
    normal(whole, seed, stream, step)
    out.reshape(-1)[:] = whole[first:]


def permutation(out: Array, seed: int, stream: int, step: int) -> None:
    """Random order of 0 .. n - 1 by Fisher and Yates' shuffle [3]_, from the top down.

    Element i is exchanged with element ``(w_i (i + 1)) >> 32``, w_i the 32-bit word of element i;
    a position's probability is off by less than n / 2^32, relatively.

    Parameters
    ----------
    out : (n,) int64, n < 2^32
    seed, stream, step : int, not negative
    """
    n = out.size
    bounds = np.arange(1, n + 1, dtype=np.uint64)
    partners = ((_words(n, seed, stream, step) * bounds) >> _HALF).tolist()
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = partners[i]
        order[i], order[j] = order[j], order[i]
    out[:] = order


def gather_binary(
    out: Array, data: Array, index: Array, keys: Array, binarization: int, seed: int
) -> None:
    """Copy the rows ``data[index]``, each value p made 1 or 0.

    By "threshold" it is ``p >= 1/2``, else ``p >= u`` with `uniform` numbers u: element c of
    (seed, stream, key), in a stream of its own for "dynamic" and, with seed 0, for "fixed".

    Parameters
    ----------
    out : (B, I) float32 or float64
    data : (N, I) uint8, float32 or float64, any strides; uint8 means value / 255
    index : (B,) int64
    keys : (N,) int64
    binarization : int, a code of `BINARIZATIONS`
    seed : int, not negative
    """
    out[...] = data[index]
    if data.dtype == np.uint8:
        out /= 255
    least = np.full(out.shape, 0.5, out.dtype)
    if binarization != BINARIZATIONS["threshold"]:
        is_fixed = binarization == BINARIZATIONS["fixed"]
        stream = STREAM_BINARY_FIXED if is_fixed else STREAM_BINARY_ROWS
        for row, key in zip(least, keys[index].tolist(), strict=True):
            uniform(row, 0 if is_fixed else seed, stream, key % 2**64)
    np.greater_equal(out, least, out=out, where=out == out)  # NaN stays


def _words(n: int, seed: int, stream: int, step: int) -> npt.NDArray[np.uint64]:
    """The first n 32-bit words of (seed, stream, step), in 64-bit integers."""
    counters = np.empty((-(-n // 4), 4), np.uint64)
    counters[:, 0] = np.arange(len(counters))
    counters[:, 1:] = stream, step & 0xFFFFFFFF, step >> 32
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint64)
    return _philox_blocks(counters, key).astype(np.uint64).reshape(-1)[:n]


def _to_uniform(words: npt.NDArray[np.uint64], dtype: npt.DTypeLike) -> Array:
    """Numbers in (0, 1] of 32-bit words, as `uniform` documents."""
    if dtype == np.float32:
        return (words >> np.uint64(8)).astype(np.float32) * 2.0**-24 + 2.0**-25
    return (words.astype(np.float64) + 0.5) * 2.0**-32


def _philox_blocks(
    counters: npt.NDArray[np.uint64], key: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint32]:
    """Ten rounds of Philox4x32 on each row of (n, 4) counters; 32-bit words in 64-bit integers."""
    c0, c1, c2, c3 = (np.ascontiguousarray(column) for column in counters.T)
    k0, k1 = key
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1 = (product1 >> _HALF) ^ c1 ^ k0, product1 & _LOW
        c2, c3 = (product0 >> _HALF) ^ c3 ^ k1, product0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)
