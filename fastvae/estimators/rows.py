"""Rows as scikit-learn's estimators take them, and the column that is wrong with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from fastvae import checks
from fastvae.checks.quoting import quoted
from fastvae.model.vae import VAE

_DTYPES = (np.float64, np.float32)


def checked(estimator: Any, X: Any, *, reset: bool) -> NDArray[Any]:
    """Return rows as a float64 or float32 array, shape (n, n_features).

    Raises
    ------
    TypeError, ValueError
        As scikit-learn's `validate_data` does; where a column holds what is no finite number, the
        error begins with its name, or its number where columns have no names.
    """
    if isinstance(X, np.ma.MaskedArray):  # whose mask scikit-learn does not look at
        X = checks.as_array(X, "X")
    try:
        return validate_data(estimator, X, reset=reset, dtype=_DTYPES)
    except (TypeError, ValueError, OverflowError) as error:
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
    """The first cell, column by column, that is no finite number, and what it holds."""
    if _is_table(X):
        names = [repr(name) for name in X.columns]
        columns = [
            X.iloc[:, j] if hasattr(X, "iloc") else X[name] for j, name in enumerate(X.columns)
        ]
    elif isinstance(X, np.ndarray) and X.ndim == 2:
        names, columns = [str(j) for j in range(X.shape[1])], list(X.T)
    else:
        return None
    for name, column in zip(names, columns, strict=True):
        for i, value in enumerate(column):
            if not _is_finite(value):
                return f"column {name} holds {_shown(value)} in row {i} (counted from 0)"
    return None


def _is_finite(value: Any) -> bool:
    try:
        return not np.iscomplexobj(value) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, np.floating) else quoted(value)
