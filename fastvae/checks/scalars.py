"""Checks of single values: sizes, numbers, names, seeds, dtypes."""

import math
import operator
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from fastvae.checks.nearest import did_you_mean
from fastvae.checks.quoting import quoted

WORKING_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
MAX_SEED = 2**64 - 1
MAX_COUNT = 2**62 - 1
MAX_SIZE = 2**31 - 1
MAX_CLASSES = 2**20
_Name = TypeVar("_Name", bound=str)


def integer(value: Any, name: str, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as an int between `minimum` and `maximum`.

    Raises
    ------
    TypeError
        If it is not an integer (bool and whole floats are not).
    ValueError
        If it lies outside the bounds.
    """
    wanted = f"an integer of at least {minimum}"
    if maximum is not None:
        wanted = f"an integer between {minimum} and {maximum}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}; got {quoted(value)}") from None
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{name} must be {wanted}; got {quoted(number)}")
    return number


def size(value: Any, name: str) -> int:
    """Return `value` as a number of units or columns: an integer in [1, 2**31)."""
    return integer(integer(value, name), name, maximum=MAX_SIZE)


def seed(value: Any, name: str = "seed") -> int:
    """Return `value` as a seed of the counter-based generator: an integer in [0, 2**64)."""
    return integer(value, name, minimum=0, maximum=MAX_SEED)


def count(value: Any, name: str) -> int:
    """Return `value` as a number of epochs or updates that were done: an integer in [0, 2**62)."""
    return integer(value, name, minimum=0, maximum=MAX_COUNT)


def number(
    value: Any,
    name: str,
    minimum: float = 0.0,
    below: float = math.inf,
    *,
    positive: bool = False,
) -> float:
    """Return `value` as a finite float in [minimum, below), or above `minimum` if `positive`.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is NaN, infinite or out of bounds.
    """
    # 8 digits: a bound that is shown is itself allowed, where 1.17549e-38 would be too small.
    wanted = f"a finite number {'above' if positive else 'of at least'} {minimum:.8g}"
    if below < math.inf:
        wanted += f" and below {below:g}"
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{name} must be {wanted}; got {quoted(value)}")
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be {wanted}; got {quoted(value)}") from None
    inside = minimum < result < below if positive else minimum <= result < below
    if not inside or not math.isfinite(result):
        raise ValueError(f"{name} must be {wanted}; got {quoted(value)}")
    return result


def flag(value: Any, name: str) -> bool:
    """Return `value` as a bool, else raise a TypeError: 0, "no" and None may be meant otherwise."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {quoted(value)}")
    return bool(value)


def choice(value: Any, known: Iterable[_Name], what: str) -> _Name:
    """Return `value` if it is one of the `known` names, else raise a ValueError that lists them."""
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    raise ValueError(
        f"{what} must be one of {', '.join(map(repr, names))}; got {quoted(value)}"
        f"{did_you_mean(value, names)}"
    )


def dtype(value: DTypeLike) -> np.dtype[Any]:
    """Return `value` as one of the two working types, float32 or float64."""
    meant = ""
    try:
        result = np.dtype(value)
    except TypeError:
        result = np.dtype(object)
        name = (value if isinstance(value, str) else quoted(value)).rpartition(".")[2]
        meant = did_you_mean(name, (known.name for known in WORKING_DTYPES))
    if result not in WORKING_DTYPES:
        raise ValueError(f"dtype must be float32 or float64; got {quoted(value)}{meant}")
    return result
