"""Checks of arrays that results are written to (`out=`), made before anything is written."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae.checks.lazy import LazyRows

# Steps after which arrays that are hard to tell apart count as overlapping; NumPy's own type
# for it is too narrow.
_MOST_WORK: Any = 100_000


def output(
    out: Any,
    name: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    read: NDArray[Any] | LazyRows | None = None,
    one_row: bool = False,
) -> NDArray[Any]:
    """Return an array to write to, a memory map for instance, as a plain one of this shape.

    Parameters
    ----------
    out : object
        What the user gave.
    name : str
        What to call it in errors.
    shape : tuple of int
        (n, n_columns).
    dtype : numpy.dtype
        The model's dtype.
    read : ndarray or LazyRows, optional
        What the results are computed from.
    one_row : bool
        Whether (n_columns,) is a right shape, too.

    Raises
    ------
    TypeError
        If it is not an ndarray, has a mask, or another dtype.
    ValueError
        If the shape differs, it is read-only, or it overlaps what is read.
    """
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a numpy.ndarray; got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"{name} must be of the model's dtype, {dtype}; got {out.dtype}")
    shapes = [shape[1:], shape] if one_row else [shape]
    if out.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must have shape {wanted}; got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name} must be writeable; got a read-only array")
    if read is not None and _overlap(out, read.given if isinstance(read, LazyRows) else read):
        raise ValueError(f"{name} must not overlap the array that it is computed from")
    plain = np.asarray(out)
    return plain if plain.ndim == 2 else plain[np.newaxis]


def output_pair(
    out: Any,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    read: NDArray[Any] | LazyRows,
    one_row: bool,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what unpacks into two arrays to write to as two plain ones, see `output`.

    Raises
    ------
    TypeError, ValueError
        As `output` does; if there are not two, or they overlap.
    """
    if not isinstance(out, Iterable):
        raise TypeError(f"out must be a pair of arrays (mean, log_var); got {type(out).__name__}")
    arrays = list(out)
    if len(arrays) != 2:
        raise ValueError(f"out must be a pair of arrays (mean, log_var); got {len(arrays)}")
    first, second = (
        output(array, f"out[{i}]", shape, dtype, read, one_row) for i, array in enumerate(arrays)
    )
    if _overlap(first, second):
        raise ValueError("out[0] and out[1] must not overlap")
    return first, second


def _overlap(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays share an element, or may do so where that is too hard to tell."""
    try:
        return np.shares_memory(one, other, max_work=_MOST_WORK)
    except np.exceptions.TooHardError:
        return True
