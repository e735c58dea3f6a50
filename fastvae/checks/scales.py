"""How values are read, and rows whose scale says that they are meant otherwise.

uint8 is read as pixels, value / 255: rows of 0 and 1, or of 0 to 16, come out black. The Gaussian
likelihood sums squared errors over the columns: one of large values outweighs all others. Rows
are looked at in chunks, and never copied as a whole.
"""

import os
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastvae.checks import foreign

DARK = 64
LARGE_SCALE = 30.0
LARGE_RATIO = 100.0
_SAMPLE_ROWS = 4096
_CHUNK_ELEMENTS = 1 << 20
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def as_floats(rows: NDArray[Any], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Rows as a model sees them: uint8 pixels divided by 255, other types as they are."""
    floats = rows.astype(dtype, copy=False)
    return floats / floats.dtype.type(255) if rows.dtype == np.uint8 else floats


def check_pixels(rows: NDArray[np.uint8], name: str) -> None:
    """Refuse uint8 rows for `fit` whose largest value is 1, and warn of dark ones.

    Raises
    ------
    ValueError
        If the largest value is 1.
    """
    largest = _largest(rows, DARK)
    if largest == 1:
        raise ValueError(_binary_message(name))
    if largest == 0:
        warn(f"all values of {name} are 0: these are black images")
    elif largest < DARK:
        warn(
            f"{name} is uint8, which is read as value / 255, and its largest value is {largest}: "
            f"these are dark images; if {largest} means white, "
            f"pass {name} / {largest}"
        )


def warn_if_binary(rows: NDArray[np.uint8], name: str) -> None:
    """Warn of several uint8 rows whose largest value is 1; a single row is not looked at."""
    if len(rows) > 1 and _largest(rows, 2) == 1:
        warn(_binary_message(name))


def warn_of_scales(rows: NDArray[Any], values: Any, name: str, sigma: Any = None) -> None:
    """Warn of float rows for the Gaussian likelihood with columns of huge or unlike scales.

    A column's scale is its root mean square over at most 4096 evenly spaced rows. The largest is
    too large above 30, or above 100 times the (lower) median of those that are not 0. Rows whose
    values all lie in [0, 1] are images or shares, whose rare columns may be as small as they are.

    Parameters
    ----------
    rows : ndarray of float, shape (n, n_features)
    values : object
        What the user gave, for the names of its columns.
    name : str
        What to call the rows.
    sigma : object
        The setting of the likelihood.
    """
    scales, in_unit_interval = _column_scales(rows)
    present = np.sort(scales[scales > 0])
    if in_unit_interval or len(present) == 0:
        return
    median = present[(len(present) - 1) // 2]
    limit = min(LARGE_SCALE, LARGE_RATIO * median)
    worst = [int(j) for j in np.argsort(-scales, kind="stable")[:3] if scales[j] > limit]
    if worst:
        reason = "the Gaussian likelihood adds up their squared errors"
        if sigma in ("feature", "output"):
            reason = "the encoder, whose weights start for numbers near 1, takes them as they are"
        listed = ", ".join(f"{foreign.column_name(values, j)}: {scales[j]:.3g}" for j in worst)
        warn(
            f"the columns of {name} have large or very different scales (root mean squares of "
            f"the worst: {listed}; median of all: {median:.3g}), and {reason}: standardise the "
            "columns, for example with scikit-learn's StandardScaler"
        )


def _binary_message(name: str) -> str:
    return (
        f"{name} is uint8, which is read as pixels, value / 255, but its largest value is 1: "
        f'pass {name}.astype(bool) or {name}.astype("f4") where 0 and 1 are meant, '
        f"or {name} * 255 for pixels"
    )


def _largest(rows: NDArray[np.uint8], enough: int) -> int:
    """The largest value, or the first found that is at least `enough`."""
    largest, start = 0, 0
    step = 16  # most pixels show in the first rows what they are
    limit = max(step, _CHUNK_ELEMENTS // max(1, rows.shape[1]))
    while start < len(rows) and largest < enough:
        largest = max(largest, int(rows[start : start + step].max()))
        start, step = start + step, min(4 * step, limit)
    return largest


def _column_scales(rows: NDArray[Any]) -> tuple[NDArray[np.float64], bool]:
    """Each column's root mean square over a sample of rows, and whether all lies in [0, 1]."""
    sample = rows[:: -(-len(rows) // _SAMPLE_ROWS)]
    squares = np.zeros(rows.shape[1])
    in_unit_interval = True
    step = max(1, _CHUNK_ELEMENTS // max(1, rows.shape[1]))
    for start in range(0, len(sample), step):
        chunk = sample[start : start + step].astype(np.float64)
        chunk[np.isnan(chunk)] = 0.0  # what is missing, where that may be
        in_unit_interval &= bool(chunk.min() >= 0 and chunk.max() <= 1)
        with np.errstate(over="ignore"):
            squares += np.square(chunk).sum(axis=0)
    return np.sqrt(squares / len(sample)), in_unit_interval


def warn(message: str) -> None:
    """Warn at the line outside the package from which it was called."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
