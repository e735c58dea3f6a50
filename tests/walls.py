"""Arrays that end at memory that cannot be touched, or begin right after it.

An element read or written past a wall ends the process with SIGSEGV. What lies on the array's other
side, and between its elements, is filled with a pattern: `beside` shows whether it was written.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PAGE = mmap.PAGESIZE
NOTHING = 0  # PROT_NONE, which the module mmap does not name
_PATTERN = 0xA5
_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def protect(memory: Array, rights: int) -> None:
    """Set what may be done with whole pages."""
    if _mprotect(memory.ctypes.data, memory.nbytes, rights):
        raise OSError(ctypes.get_errno(), "mprotect failed")


def walled_bytes(n_bytes: int, *, in_file: bool = False) -> Array:
    """Whole pages for so many bytes, with a wall before and one after them, which are not shown.

    With `in_file` they are those of a file, as a `numpy.memmap`.
    """
    n_pages = max(1, -(-n_bytes // PAGE))
    size = (n_pages + 2) * PAGE
    memory: Array
    if in_file:
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            memory = np.memmap(file, np.uint8, "r+")
    else:
        memory = np.frombuffer(mmap.mmap(-1, size), np.uint8)
    protect(memory[:PAGE], NOTHING)
    protect(memory[-PAGE:], NOTHING)
    return memory[PAGE:-PAGE]


def walled(
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    strides: Sequence[int] | None = None,
    *,
    at_end: bool = True,
    in_file: bool = False,
) -> Array:
    """Return an array that ends at a wall or, if not `at_end`, begins after one.

    Its elements hold a pattern. It has C order unless `strides`, in bytes, are given.
    """
    kind = np.dtype(dtype)
    steps = strides or [kind.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    reaches = [(n - 1) * step for n, step in zip(shape, steps, strict=True)]
    below, above = -sum(r for r in reaches if r < 0), sum(r for r in reaches if r > 0)
    size = below + above + kind.itemsize if all(shape) else 0
    memory = walled_bytes(size, in_file=in_file)
    memory[:] = _PATTERN
    bounds = memory[len(memory) - size if at_end else 0 :][:size]
    if strides is None:  # views of a memory map are memory maps
        return bounds.view(kind).reshape(shape)
    return np.ndarray(shape, kind, bounds, below if size else 0, steps)


def walled_copy(array: Array, *, at_end: bool = True) -> Array:
    """Return a copy in C order that ends at a wall or begins after one."""
    copy = walled(array.shape, array.dtype, at_end=at_end)
    copy[...] = array
    return copy


def _pages(array: Array) -> Array:
    """The whole pages that an array of `walled` stands in."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array[PAGE:-PAGE]


def freeze(array: Array) -> Array:
    """Make an array of `walled` read-only, its memory too: a write ends the process."""
    protect(_pages(array), mmap.PROT_READ)
    array.flags.writeable = False
    return array


def beside(array: Array) -> bytes:
    """What stands in the pages of an array of `walled`, but for its own elements."""
    pages = _pages(array)
    copy = pages.copy()
    offset = array.ctypes.data - pages.ctypes.data
    np.ndarray(array.shape, array.dtype, copy, offset, array.strides)[...] = 0
    return copy.tobytes()
