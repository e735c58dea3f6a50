"""Counter-based random numbers: value = f(seed, stream, step, element).

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
section 3.3) turns a key (the seed) and a counter (block, stream, step) into four 32-bit words;
element e of an array takes word e % 4 of block e // 4. There is no state, so results depend
neither on the number of threads nor on what was drawn before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import overload

from . import vmath
from ._jit import device_function, kernel, parallel_kernel
from .simd import constant, get, lane_count, load, pointer, put, square_root, stack, store

STREAM_WEIGHTS = 0
STREAM_ORDER = 1
STREAM_NOISE = 2
STREAM_PRIOR = 3
STREAM_EVALUATION = 4
STREAM_DATASET = 5
STREAM_FORWARD = 6
STREAM_DIGITS = 7

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_BLOCK = 1024  # elements per parallel task; a multiple of 4 and of every vector width


@device_function
def _philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Ten rounds on four words, each held in the low half of a uint64."""
    for _ in range(10):
        p0 = _MULTIPLIER_0 * c0
        p1 = _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _HALF) ^ c1 ^ k0,
            p1 & _MASK,
            (p0 >> _HALF) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


@device_function
def _philox_at(block: Any, seed: Any, stream: Any, step: Any) -> Any:
    key = np.uint64(seed)
    high = np.uint64(step)
    return _philox(
        np.uint64(block) & _MASK,
        np.uint64(stream) & _MASK,
        high & _MASK,
        high >> _HALF,
        key & _MASK,
        key >> _HALF,
    )


def _to_uniform(like: Any, word: Any) -> Any:
    """A word as a number in (0, 1]: 24 bits in float32, 32 bits in float64, mid-interval."""
    raise TypeError("_to_uniform is for kernels")


@overload(_to_uniform)
def _to_uniform_of(like: Any, word: Any) -> Any:
    if like.dtype == types.float32:

        def single(like: Any, word: Any) -> Any:
            high = np.float32(np.int32(word >> np.uint64(8)))
            return high * np.float32(2.0**-24) + np.float32(2.0**-25)

        return single

    def double(like: Any, word: Any) -> Any:
        return (np.float64(np.int64(word)) + 0.5) * 2.0**-32

    return double


@kernel
def philox4x32(counter: Any, key: Any) -> Any:
    """Return the four words of Philox4x32-10.

    Parameters
    ----------
    counter : ndarray of uint32, shape (4,)
    key : ndarray of uint32, shape (2,)

    Returns
    -------
    ndarray of uint32, shape (4,)
    """
    words = _philox(
        np.uint64(counter[0]),
        np.uint64(counter[1]),
        np.uint64(counter[2]),
        np.uint64(counter[3]),
        np.uint64(key[0]),
        np.uint64(key[1]),
    )
    out = np.empty(4, np.uint32)
    for i in range(4):
        out[i] = np.uint32(words[i])
    return out


@device_function
def uniform_range(
    out: Any, first: Any, last: Any, seed: Any, stream: Any, step: Any, buffer: Any
) -> None:
    """Write elements first..last-1 of the stream to out[first..last-1]."""
    for block in range(first // 4, (last + 3) // 4):
        words = _philox_at(block, seed, stream, step)
        put(buffer, 0, _to_uniform(out, words[0]))
        put(buffer, 1, _to_uniform(out, words[1]))
        put(buffer, 2, _to_uniform(out, words[2]))
        put(buffer, 3, _to_uniform(out, words[3]))
        for e in range(max(first, 4 * block), min(last, 4 * block + 4)):
            put(out, e, get(buffer, e - 4 * block))


@device_function
def normal_range(out: Any, first: Any, last: Any, seed: Any, stream: Any, step: Any) -> None:
    """Write elements first..last-1 of the stream, as normals, to out[first..last-1].

    Box & Muller (1958): (u0, u1) -> sqrt(-2 log u0) (cos, sin)(2 pi u1), likewise (u2, u3).
    One round takes as many blocks as a vector has lanes.
    """
    count = lane_count(out)
    buffer = stack(out, 64)  # four rows of `count` uniforms, then normals
    for block in range(first // 4, (last + 3) // 4, count):
        for lane in range(count):
            words = _philox_at(block + lane, seed, stream, step)
            put(buffer, lane, _to_uniform(out, words[0]))
            put(buffer, count + lane, _to_uniform(out, words[1]))
            put(buffer, 2 * count + lane, _to_uniform(out, words[2]))
            put(buffer, 3 * count + lane, _to_uniform(out, words[3]))
        for pair in range(2):
            place = 2 * pair * count
            u = load(buffer, place)
            radius = square_root(vmath.log(u) * constant(u, -2.0))
            cosine, sine = vmath.cos_sin_turn(load(buffer, place + count))
            store(buffer, place, radius * cosine)
            store(buffer, place + count, radius * sine)
        for e in range(max(first, 4 * block), min(last, 4 * (block + count))):
            within = e - 4 * block
            put(out, e, get(buffer, (within % 4) * count + within // 4))


@parallel_kernel
def _uniform(out: Any, seed: Any, stream: Any, step: Any) -> None:
    for task in prange((out.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        _uniform_task(out, first, min(first + _BLOCK, out.size), seed, stream, step)


@device_function
def _uniform_task(out: Any, first: Any, last: Any, seed: Any, stream: Any, step: Any) -> None:
    base = pointer(out)
    uniform_range(base, first, last, seed, stream, step, stack(base, 4))


@parallel_kernel
def _normal(out: Any, seed: Any, stream: Any, step: Any) -> None:
    for task in prange((out.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        normal_range(pointer(out), first, min(first + _BLOCK, out.size), seed, stream, step)


@kernel
def _permutation(out: Any, seed: Any, stream: Any, step: Any) -> None:
    n = out.size
    for i in range(n):
        out[i] = i
    words = np.empty(4, np.uint64)
    for block in range((n - 1) // 4, -1, -1):
        words[0], words[1], words[2], words[3] = _philox_at(block, seed, stream, step)
        for i in range(min(4 * block + 3, n - 1), max(4 * block, 1) - 1, -1):
            j = np.int64((words[i - 4 * block] * np.uint64(i + 1)) >> _HALF)
            out[i], out[j] = out[j], out[i]


def uniform(out: np.ndarray, seed: int, stream: int, step: int) -> None:
    """Fill an array with numbers from (0, 1].

    Parameters
    ----------
    out : ndarray of float32 or float64, C-contiguous, any shape
        Element e (flat) takes word e % 4 of block e // 4, as the middle of one of 2**24
        (float32) or 2**32 (float64) equal intervals.
    seed, stream, step : int
        Key (64 bits), stream (32 bits) and step (64 bits) of the counter.
    """
    _uniform(out.reshape(-1), np.uint64(seed), np.uint64(stream), np.uint64(step))


def normal(out: np.ndarray, seed: int, stream: int, step: int) -> None:
    """Fill an array with draws from N(0, 1), by Box & Muller (1958) on `uniform`.

    Parameters
    ----------
    out : ndarray of float32 or float64, C-contiguous, any shape
    seed, stream, step : int
        Key (64 bits), stream (32 bits) and step (64 bits) of the counter.
    """
    _normal(out.reshape(-1), np.uint64(seed), np.uint64(stream), np.uint64(step))


def permutation(out: np.ndarray, seed: int, stream: int, step: int) -> None:
    """Fill an array with a random order of 0 .. n-1 (Fisher & Yates, Durstenfeld's form).

    Parameters
    ----------
    out : ndarray of int64, shape (n,), n < 2**32
        Entry i, from the last down, is exchanged with entry floor(w_i (i + 1) / 2**32), w_i
        the 32-bit word of element i. The bias of that division is below n / 2**32.
    seed, stream, step : int
        Key (64 bits), stream (32 bits) and step (64 bits) of the counter.
    """
    _permutation(out, np.uint64(seed), np.uint64(stream), np.uint64(step))
