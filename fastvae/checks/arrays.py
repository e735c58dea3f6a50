"""Checks of arrays: rows, parameters, a layer's inputs.

Rows that the kernels' gather can read (uint8, float32, float64; any strides, read-only,
memory-mapped) pass through without a copy; other real numbers are converted, as a whole (`rows`)
or where they are read (`lazy_rows`). Arrays are looked at in chunks of rows.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastvae.checks import foreign, scales
from fastvae.checks.lazy import LazyRows
from fastvae.checks.likelihoods import LEFT_OUT, Columns, check_columns

UINT8 = np.dtype(np.uint8)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_PASSED_THROUGH = (UINT8, *_FLOATS)
_CHUNK_ELEMENTS = 1 << 22


def _as_array(values: Any, name: str) -> NDArray[Any]:
    """`values` as a NumPy array of real numbers."""
    array = foreign.as_array(values, name)
    if array.dtype.kind not in foreign.REAL_KINDS:
        given = f"dtype {array.dtype}" if array.ndim else type(values).__name__
        raise TypeError(
            f"{name} must be an array of real numbers (uint8, integers or floats); got {given}"
        )
    return array


def parameter(
    values: Any, name: str, shape: tuple[int, ...], target: np.dtype[Any]
) -> NDArray[Any]:
    """Return `values` as a C-contiguous array of `shape` and dtype `target`, all finite.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the shape differs or a value is NaN, infinite or too large for `target`.
    """
    array = _as_array(values, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}")
    _needs_clipping(array, values, name, target, unit_interval=False)
    return np.ascontiguousarray(array, dtype=target)


def finite(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return `array` if every value is finite, else raise a ValueError that says where not."""
    if not np.isfinite(array).all():
        _refuse(np.atleast_1d(array), array, name, array.dtype, unit_interval=False)
    return array


def rows(
    values: Any,
    name: str,
    n_columns: int,
    target: np.dtype[Any],
    *,
    unit_interval: bool = False,
) -> NDArray[Any]:
    """Return `values` as a 2-D array (n, n_columns) that the gather kernel reads as it is.

    Parameters
    ----------
    values : array_like, shape (n, n_columns) or (n_columns,)
        Any real dtype. uint8 means pixels (value / 255); uint8, float32 and float64 arrays are
        not copied, unless they lie in memory column by column: reading such a row takes up to
        a thousand times as long. Others are converted to `target`. Tables, tensors, masked
        arrays and lists are taken as `foreign.as_array` says.
    name : str
        What to call the array in errors.
    n_columns : int
        Number of features.
    target : numpy.dtype
        The model's dtype.
    unit_interval : bool
        Whether values must lie in [0, 1], as the Bernoulli likelihood needs. What lies at most
        4 eps of the given dtype outside (`MinMaxScaler` gives 1 + 2e-16; of float64 for
        longdouble) is clipped in a copy.

    Raises
    ------
    TypeError
        If the dtype, or a cell of an array of objects, is not real.
    ValueError
        If the shape is wrong, there is no row, or a value is masked, missing, NaN, infinite or
        out of range; the first such cell is named.
    """
    found = lazy_rows(values, name, n_columns, target, unit_interval=unit_interval)
    return found if isinstance(found, np.ndarray) else found[:]


def lazy_rows(
    values: Any,
    name: str,
    n_columns: int,
    target: np.dtype[Any],
    *,
    unit_interval: bool = False,
    pixels: bool = True,
    columns: Columns | None = None,
) -> NDArray[Any] | LazyRows:
    """Check rows as `rows` does, and convert or clip those that need it where they are read.

    uint8 means pixels here too, unless `pixels` is False, as for latents. With `columns` they say
    which values there may be.
    """
    marked = columns is not None and columns.missing
    array = _as_array(foreign.with_nan(values) if marked else values, name)
    if array.ndim not in (1, 2) or array.shape[-1] != n_columns:
        hint = ""
        if array.ndim > 2 and math.prod(array.shape[1:]) == n_columns:
            hint = f" (use {name}.reshape({array.shape[0]}, {n_columns}))"
        raise ValueError(f"{name} must have {n_columns} columns; got shape {array.shape}{hint}")
    array = array.reshape(1, n_columns) if array.ndim == 1 else array
    if array.shape[0] == 0:
        raise ValueError(f"{name} must have at least one row; got shape {array.shape}")
    clipped = False
    if columns is not None:
        check_columns(array, values, name, target, columns)
    elif array.dtype != UINT8:
        hint = LEFT_OUT if pixels else ""
        clipped = _needs_clipping(array, values, name, target, unit_interval, hint)
    passed_through = _PASSED_THROUGH if pixels else _FLOATS
    by_rows = len(array) == 1 or abs(array.strides[0]) >= abs(array.strides[1])
    if array.dtype in passed_through and array.flags.aligned and by_rows and not clipped:
        return array
    return LazyRows(array, target, passed_through, clipped)


def layer_input(
    values: Any, name: str, n_columns: int, target: np.dtype[Any], *, pixels: bool = True
) -> NDArray[Any]:
    """Return a layer's inputs as a new C-contiguous array (n, n_columns) of dtype `target`.

    Unlike `rows` it lets NaN and infinity through: what goes in shows in what comes out.
    uint8 means pixels here too, unless `pixels` is False, as for gradients.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If the last axis is not `n_columns` long, or the array is neither 1-D nor 2-D.
    """
    array = _as_array(values, name)
    if array.ndim not in (1, 2) or array.shape[-1] != n_columns:
        raise ValueError(
            f"{name} must have shape ({n_columns},) or (n, {n_columns}); got {array.shape}"
        )
    given = array.reshape(-1, n_columns)
    if pixels and given.dtype == UINT8:
        scales.warn_if_binary(given, name)
        given = scales.as_floats(given, target)
    return np.array(given, dtype=target, order="C")


def _needs_clipping(
    array: NDArray[Any],
    values: Any,
    name: str,
    target: np.dtype[Any],
    unit_interval: bool,
    hint: str = "",
) -> bool:
    """Refuse an array unless every value is finite and in range, looking at chunks of rows.

    Returns whether some are outside [0, 1] by rounding only. `values` is what the user gave, for
    the names of its rows and columns; `hint` is added where a value is NaN.
    """
    limit = float(np.finfo(target).max)
    low, high = (0.0, 1.0) if unit_interval else (-limit, limit)
    smallest, largest = low, high
    for chunk in _chunks(array):
        with np.errstate(invalid="ignore"):
            least, most = float(chunk.min()), float(chunk.max())
        # min and max pass NaN on, and NaN fails the comparison.
        if not (low <= least and most <= high):
            if not (math.isfinite(least) and math.isfinite(most)):
                _refuse(array, values, name, target, unit_interval, hint)
            smallest, largest = min(smallest, least), max(largest, most)
    if smallest == low and largest == high:
        return False
    tolerance = 0.0
    if array.dtype.kind == "f":  # a longdouble often holds what was computed as float64
        tolerance = 4 * max(float(np.finfo(array.dtype).eps), float(np.finfo(np.float64).eps))
    if not unit_interval or smallest < -tolerance or largest > 1 + tolerance:
        _refuse(array, values, name, target, unit_interval, hint)
    return True


def _chunks(array: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """Views of rows that follow each other, of a size that suits a memory map."""
    if array.size <= _CHUNK_ELEMENTS:
        return (array,)
    step = max(1, _CHUNK_ELEMENTS // math.prod(array.shape[1:]))
    return (array[start : start + step] for start in range(0, len(array), step))


def _refuse(
    array: NDArray[Any],
    values: Any,
    name: str,
    target: np.dtype[Any],
    unit_interval: bool,
    hint: str = "",
) -> NoReturn:
    """Raise what is wrong with all of an array: values not finite, or out of range."""
    n_bad, where = _find(array, values, lambda chunk: ~np.isfinite(chunk))
    if n_bad:
        are = "value is" if n_bad == 1 else "values are"
        is_missing = any(np.isnan(chunk).any() for chunk in _chunks(array))
        raise ValueError(
            f"{name} must be finite; {n_bad:,} {are} NaN or infinite, the first in {where}"
            f"{hint if is_missing else ''}"
        )
    smallest = min(chunk.min() for chunk in _chunks(array))
    largest = max(chunk.max() for chunk in _chunks(array))
    got = f"got values from {_shown(smallest)} to {_shown(largest)}"
    if not unit_interval:
        limit = np.finfo(target).max
        _, where = _find(array, values, lambda chunk: abs(chunk) > limit)
        raise ValueError(f"{name} must fit {target}; {got}, the first too large in {where}")
    _, where = _find(array, values, lambda chunk: (chunk < 0) | (chunk > 1))
    remedies = "scale each column with scikit-learn's MinMaxScaler(clip=True)"
    if smallest >= 0:
        remedies = f"divide by the maximum ({name} / {_shown(largest)}), {remedies}"
    raise ValueError(
        f"{name} must lie in [0, 1] for the Bernoulli likelihood; {got}, the first outside in "
        f'{where}: {remedies}, or build the model with likelihood="gaussian"'
    )


def _find(
    array: NDArray[Any], values: Any, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]
) -> tuple[int, str]:
    """How many values are bad, and where the first of them stands; "" where none is."""
    n_bad, where, n_before = 0, "", 0
    for chunk in _chunks(array):
        bad = is_bad(chunk)
        if not where and bad.any():
            row, *rest = np.unravel_index(bad.argmax(), bad.shape)
            where = foreign.cell(values, (n_before + row, *rest))
        n_bad += int(np.count_nonzero(bad))
        n_before += len(chunk)
    return n_bad, where


def _shown(value: np.generic) -> str:
    """A number in the digits of its own type, which tell 1.0000001 from 1."""
    return str(value).removesuffix(".0")
