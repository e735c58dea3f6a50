"""What public kernels demand of their arguments, checked before compiled code sees them.

Compiled code takes what it is given at its word: it reads a strided array as if it were contiguous
and past the end of a short one, and an error raised in a parallel region is lost.
"""

from __future__ import annotations

import math
import numbers
import operator
from functools import lru_cache
from typing import Any

import numpy as np

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
ANY_SHAPE = "*"


def checked(
    shapes: str, n_written: int, *, in_place: bool = True, **arrays: Any
) -> list[np.ndarray]:
    """Return arrays as plain C-contiguous ones that a kernel can take.

    Parameters
    ----------
    shapes : str
        A word for each array: "BO BI OI O" has a letter for each axis, and the same letter stands
        for the same size; a digit is a size; "*" is any shape, the same for all. A dtype may follow
        ("B:int64"); arrays without one share float32 or float64.
    n_written : int
        How many of them, from the first on, are written.
    in_place : bool
        Whether an array that is written may be one that is read, as a whole, as is right where a
        kernel works element by element.
    **arrays
        The arrays by the names of the kernel's arguments.

    Raises
    ------
    TypeError
        If one is no ndarray, has a mask, or another dtype.
    ValueError
        If a shape differs, memory is not as the kernel needs it, or arrays overlap.
    """
    sizes: dict[str, Any] = {}
    shared: tuple[np.dtype, ...] = _FLOATS
    plain = []
    for (axes, own), (name, given) in zip(_words(shapes), arrays.items(), strict=True):
        array = _plain(given, name)
        _check_dtype(array, name, own or shared)
        if not own:
            shared = (array.dtype,)
        _check_shape(array, name, axes, sizes)
        _check_memory(array, name, written=len(plain) < n_written)
        plain.append(array)
    _check_overlap(list(arrays), plain, n_written, in_place)
    return plain


@lru_cache
def _words(shapes: str) -> tuple[tuple[str, tuple[np.dtype, ...]], ...]:
    """The axes and the own dtype, if any, of each word."""
    words = (word.partition(":") for word in shapes.split())
    return tuple((axes, (np.dtype(own),) if own else ()) for axes, _, own in words)


def _plain(array: Any, name: str) -> np.ndarray:
    if type(array) is np.ndarray:
        return array
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray; got {type(array).__name__}")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a numpy.ndarray without a mask; got a masked array")
    return array.view(np.ndarray)


def _check_dtype(array: np.ndarray, name: str, wanted: tuple[np.dtype, ...]) -> None:
    if array.dtype not in wanted:
        known = " or ".join(str(dtype) for dtype in wanted)
        raise TypeError(f"{name} must be {known} in native byte order; got {array.dtype}")


def _check_shape(array: np.ndarray, name: str, axes: str, sizes: dict[str, Any]) -> None:
    """Compare a shape with its word; `sizes` remembers what its letters stand for."""
    wanted: tuple[Any, ...]
    if axes == ANY_SHAPE:
        wanted = sizes.setdefault(ANY_SHAPE, array.shape)
    else:
        if len(axes) == array.ndim:
            for axis, size in zip(axes, array.shape, strict=True):
                sizes.setdefault(axis, int(axis) if axis.isdigit() else size)
        wanted = tuple(sizes.get(axis, axis) for axis in axes)
    if array.shape != wanted:
        text = ", ".join(map(str, wanted)) + ("," if len(wanted) == 1 else "")
        raise ValueError(f"{name} must have shape ({text}); got {array.shape}")


def _check_memory(array: np.ndarray, name: str, *, written: bool) -> None:
    flags = array.flags
    if not flags.c_contiguous:
        raise ValueError(
            f"{name} must be C-contiguous; got shape {array.shape} with strides {array.strides} "
            f"of {array.itemsize}-byte elements"
        )
    if not flags.aligned:
        raise ValueError(f"{name} must be aligned; got an address off by less than an element")
    if written and not flags.writeable:
        raise ValueError(f"{name} is written and must be writeable; got a read-only array")


def _check_overlap(
    names: list[str], arrays: list[np.ndarray], n_written: int, in_place: bool
) -> None:
    for i in range(n_written):
        for j in range(i + 1, len(arrays)):
            # Exact for contiguous arrays.
            if np.may_share_memory(arrays[i], arrays[j]):
                allowed = in_place and j >= n_written
                if not (allowed and _is_same(arrays[i], arrays[j])):
                    unless = " unless it is the same array" if allowed else ""
                    raise ValueError(f"{names[i]} must not overlap {names[j]}{unless}")


def _is_same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.ctypes.data == b.ctypes.data and a.dtype == b.dtype and a.size == b.size


def whole_number(value: Any, name: str, minimum: int, maximum: int) -> int:
    """Return an integer between two bounds, or raise a TypeError or ValueError."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {value!r}") from None
    if not minimum <= number <= maximum:
        raise ValueError(f"{name} must lie between {minimum} and {maximum}; got {number}")
    return number


def real_number(value: Any, name: str) -> float:
    """Return a real number as a float, or raise a TypeError; NaN and infinity pass."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number; got {value!r}")
    return float(value)


def number_between(value: Any, name: str, minimum: float, below: float = math.inf) -> float:
    """Return a real number in [minimum, below), or raise a TypeError or ValueError."""
    number = real_number(value, name)
    if not minimum <= number < below:
        raise ValueError(f"{name} must lie in [{minimum:g}, {below:g}); got {value!r}")
    return number
