"""Rows as scikit-learn's estimators take them, and the column that is wrong with a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from fastvae.model.vae import VAE

_DTYPES = (np.float64, np.float32)


def checked(estimator: Any, X: Any, *, reset: bool) -> NDArray[Any]:
    """Return rows as a float64 or float32 array, shape (n, n_features).

    Raises
    ------
    TypeError, ValueError
        As scikit-learn's `validate_data` does; where a column of a table holds what is no finite
        number, the error begins with its name.
    """
    try:
        return validate_data(estimator, X, reset=reset, dtype=_DTYPES)
    except (TypeError, ValueError) as error:
        fault = _fault(X)
        if fault is None:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{fault}: {error}") from error


def check_kind(vae: VAE, rows: NDArray[Any], X: Any) -> None:
    """Refuse rows that are not of the model's likelihood.

    Parameters
    ----------
    vae : VAE
    rows : ndarray of float32, shape (n, n_features)
    X : object
        What the user gave: an error says its column's name, if it has names.

    Raises
    ------
    ValueError
    """
    try:
        vae.check_rows(rows)
    except ValueError:
        if _is_table(X) and len(X.columns) == rows.shape[1]:
            names = "columns" if hasattr(X, "iloc") else "schema"
            vae.check_rows(type(X)(rows, **{names: list(X.columns)}))
        raise


def _is_table(X: Any) -> bool:
    return all(hasattr(X, name) for name in ("columns", "dtypes", "__getitem__"))


def _fault(X: Any) -> str | None:
    """The first cell of a table with named columns that is no finite number, and what it holds."""
    if not _is_table(X):
        return None
    for j, name in enumerate(X.columns):
        column = X.iloc[:, j] if hasattr(X, "iloc") else X[name]
        for i, value in enumerate(column):
            if not _is_finite(value):
                return f"column {name!r} holds {value!r} in row {i} (counted from 0)"
    return None


def _is_finite(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
