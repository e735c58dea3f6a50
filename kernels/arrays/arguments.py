"""What public kernels demand of their arguments, checked before compiled code sees them.

Compiled code takes what it is given at its word: it reads a strided array as if it were contiguous
and past the end of a short one, and an error raised in a parallel region is lost.
"""

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
        If one is not an ndarray, has a mask, or another dtype.
    ValueError
        If a shape differs, memory is not as the kernel needs it, or arrays overlap.
    """
    words, fixed = _parsed(shapes)
    sizes: dict[str, Any] = dict(fixed)
    shared: tuple[np.dtype, ...] = _FLOATS
    plain: list[np.ndarray] = []
    for (axes, own), (name, given) in zip(words, arrays.items(), strict=True):
        array = _plain(given, name)
        _check_dtype(array, name, own or shared)
        if not own:
            shared = (array.dtype,)
        if not _fits(array.shape, axes, sizes):
            others = dict(zip(arrays, plain, strict=False))
            raise ValueError(f"{name} must have {_wanted(axes, sizes, others)}; got {array.shape}")
        _check_memory(array, name, written=len(plain) < n_written)
        plain.append(array)
    _check_overlap(list(arrays), plain, n_written, in_place)
    return plain


@lru_cache
def _parsed(shapes: str) -> tuple[list[tuple[str, tuple[np.dtype, ...]]], dict[str, int]]:
    """The axes and the own dtype, if any, of each word; and the sizes that are digits."""
    words = [word.partition(":")[::2] for word in shapes.split()]
    fixed = {axis: int(axis) for axes, _ in words for axis in axes if axis.isdigit()}
    return [(axes, (np.dtype(own),) if own else ()) for axes, own in words], fixed


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


def _fits(shape: tuple[int, ...], axes: str, sizes: dict[str, Any]) -> bool:
    """Compare a shape with its word; `sizes` remembers what letters stand for."""
    if axes == ANY_SHAPE:
        return bool(sizes.setdefault(axes, shape) == shape)
    if len(axes) != len(shape):
        return False
    for axis, size in zip(axes, shape, strict=True):  # noqa: SIM110  twice as fast as all()
        if sizes.setdefault(axis, size) != size:
            return False
    return True


def _wanted(axes: str, sizes: dict[str, Any], others: dict[str, np.ndarray]) -> str:
    """The shape that an array must have to go with those before it."""
    wanted = sizes[axes] if axes == ANY_SHAPE else [sizes.get(axis, axis) for axis in axes]
    text = f"shape ({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''})"
    if others:
        text += " to go with " + ", ".join(
            f"{name} {array.shape}" for name, array in others.items()
        )
    return text


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
    """Return a real number as a float, or raise a TypeError or ValueError; NaN passes."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number; got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit float64; got a larger number") from None


def number_between(value: Any, name: str, minimum: float, below: float = math.inf) -> float:
    """Return a real number in [minimum, below), or raise a TypeError or ValueError."""
    number = real_number(value, name)
    if not minimum <= number < below:
        # 8 digits: a bound that is shown is itself allowed, where 1.17549e-38 would be too small.
        raise ValueError(f"{name} must lie in [{minimum:.8g}, {below:g}); got {value!r}")
    return number
