"""Checks of labels: whole numbers of classes, one for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae.checks import foreign
from fastvae.checks.nearest import did_you_mean
from fastvae.checks.quoting import printable, quoted

_N_LISTED = 20


def class_labels(given: Any, name: str, n_rows: int, n_classes: int) -> NDArray[np.int64]:
    """Return labels as int64, side by side: one for each row, from 0 to n_classes - 1.

    Parameters
    ----------
    given : array_like of shape (n_rows,), or of one row a number
        Integers of any type; arrays, lists and columns of tables.
    name : str
        What to call them in errors.
    n_rows, n_classes : int

    Raises
    ------
    TypeError
        If they are no integers.
    ValueError
        If they are not as many as rows, one is missing, or out of range; its row is named.
    """
    labels = foreign.as_array(given, name)
    if labels.ndim == 0 and n_rows == 1:
        labels = labels.reshape(1)
    if labels.shape != (n_rows,):
        hint = ""
        if labels.ndim == 2 and labels.shape == (n_rows, n_classes) and n_classes > 1:
            hint = f" (of one-hot rows, give {name}.argmax(axis=1))"
        raise ValueError(
            f"{name} must have shape ({n_rows},), one for each row; got {labels.shape}{hint}"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be integers from 0 to {n_classes - 1}; got {_kind_of(labels, given)}"
        )
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name} must be from 0 to {n_classes - 1}, of {n_classes} classes; got {labels[row]} "
            f"in {foreign.cell(given, (row,))}"
        )
    return np.ascontiguousarray(labels, np.int64)


def _kind_of(labels: NDArray[Any], given: Any) -> str:
    """What labels are that are no integers, with the first that is none."""
    if labels.dtype.kind == "f":
        odd = ~(np.isfinite(labels) & (np.floor(labels) == labels))
        if odd.any():
            row = int(odd.argmax())
            return f"{labels[row]} in {foreign.cell(given, (row,))}"
        return f"dtype {labels.dtype} (labels.astype(int) makes them integers)"
    return f"dtype {labels.dtype}, as of {quoted(labels[0])}" if len(labels) else "none"


def class_names(given: Any, n_classes: int) -> list[str] | None:
    """Return the names of classes as a list, None where there are none.

    Raises
    ------
    TypeError, ValueError
        If they are not as many texts as classes, each another.
    """
    if given is None:
        return None
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise TypeError(f"class_names must be a list of {n_classes} texts; got {quoted(given)}")
    names = list(given)
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(f"class_names must be texts of at least one character; got {name!r}")
    if len(names) != n_classes:
        raise ValueError(
            f"class_names must be as many as the classes, {n_classes}; got {len(names)}"
        )
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"class_names must differ; {quoted(twice)} is there twice")
    return names


def class_number(given: Any, n_classes: int, names: Sequence[str] | None, name: str) -> int:
    """Return the number of a class that is given by its number or, as a text, by its name.

    Raises
    ------
    TypeError, ValueError
        If there is no such class.
    """
    if isinstance(given, str):
        if names is None:
            raise ValueError(
                f"{name} must be a number from 0 to {n_classes - 1}, as this model's classes have "
                f"no names; got {quoted(given)}"
            )
        if given not in names:
            listed = ", ".join(map(quoted, names[:_N_LISTED])) + ", ..." * (len(names) > _N_LISTED)
            raise ValueError(
                f"{name} must be one of the classes {listed}; got {quoted(given)}"
                f"{printable(did_you_mean(given, names))}"
            )
        return names.index(given)
    if isinstance(given, (bool, np.bool_)) or not hasattr(given, "__index__"):
        known = "" if names is None else " or a class's name"
        raise TypeError(
            f"{name} must be an integer from 0 to {n_classes - 1}{known}; got {quoted(given)}"
        )
    number = int(given.__index__())
    if not 0 <= number < n_classes:
        raise ValueError(
            f"{name} must be from 0 to {n_classes - 1}, of {n_classes} classes; got {number}"
        )
    return number
