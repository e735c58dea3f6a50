"""Counter-based random numbers, see `maths.philox`: value = f(seed, stream, step, element)."""

import numpy as np
from numba import prange

from ..machine.compilation import kernel, parallel_kernel
from ..machine.kinds import Record, Word, Words
from ..machine.launching import launch
from ..machine.memory import advance, pointer
from ..maths.philox import normal_range, philox_words, shuffle, uniform_range
from .arguments import checked, whole_number

_BLOCK = 1024  # elements per parallel task; a multiple of 4 and of every vector width


@kernel
def _philox4x32(counter: Words, key: Words) -> Words:
    words = philox_words(
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


@parallel_kernel
def _uniform(out: Record, seed: Word, stream: Word, step: Word) -> None:
    for task in prange((out.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        uniform_range(pointer(out), first, min(first + _BLOCK, out.size), seed, stream, step)


@parallel_kernel
def _normal(out: Record, start: Word, seed: Word, stream: Word, step: Word) -> None:
    for task in prange((out.size + _BLOCK - 1) // _BLOCK):
        first = start + np.int64(task) * _BLOCK
        last = min(first + _BLOCK, start + out.size)
        # Element e of the stream stands at e - start.
        normal_range(advance(pointer(out), -start), first, last, seed, stream, step)


def _coordinates(seed: int, stream: int, step: int) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The numbers of a counter's key, stream and step, as the kernels take them."""
    return (
        np.uint64(whole_number(seed, "seed", 0, 2**64 - 1)),
        np.uint64(whole_number(stream, "stream", 0, 2**32 - 1)),
        np.uint64(whole_number(step, "step", 0, 2**64 - 1)),
    )


def philox4x32(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return the four words of Philox4x32-10.

    Parameters
    ----------
    counter : ndarray of uint32, shape (4,)
    key : ndarray of uint32, shape (2,)

    Returns
    -------
    ndarray of uint32, shape (4,)
    """
    return _philox4x32(*checked("4:uint32 2:uint32", 0, counter=counter, key=key))


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
    (out,) = checked("*", 1, out=out)
    launch(_uniform, out.reshape(-1), *_coordinates(seed, stream, step))


def normal(out: np.ndarray, seed: int, stream: int, step: int) -> None:
    """Fill an array with draws from N(0, 1), by Box & Muller (1958) on `uniform`.

    Parameters
    ----------
    out : ndarray of float32 or float64, C-contiguous, any shape
    seed, stream, step : int
        Key (64 bits), stream (32 bits) and step (64 bits) of the counter.
    """
    normal_from(out, 0, seed, stream, step)


def normal_from(out: np.ndarray, first: int, seed: int, stream: int, step: int) -> None:
    """Fill an array with a part of what `normal` draws: elements first, first + 1, ...

    Parameters
    ----------
    out : ndarray of float32 or float64, C-contiguous, any shape
    first : int
        The element of the longer array that `out` begins with.
    seed, stream, step : int
        Key (64 bits), stream (32 bits) and step (64 bits) of the counter.
    """
    (out,) = checked("*", 1, out=out)
    start = np.int64(whole_number(first, "first", 0, 2**62))
    launch(_normal, out.reshape(-1), start, *_coordinates(seed, stream, step))


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
    (out,) = checked("N:int64", 1, out=out)
    shuffle(out, *_coordinates(seed, stream, step))
