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
_DENSE = (
    "In a pipeline OneHotEncoder(sparse_output=False) and ColumnTransformer(sparse_threshold=0) "
    "give dense columns."
)


def checked(estimator: Any, X: Any, *, reset: bool) -> NDArray[Any]:
    """Return rows as a float64 or float32 array, shape (n, n_features).

    Raises
    ------
    TypeError, ValueError
        As scikit-learn's `validate_data` does; where a column holds what is no finite number, the
        error begins with its name, or its number where columns have no names.
    """
    # scikit-learn does not look at masks, and sees no rows in a LazyFrame of polars.
    if isinstance(X, np.ma.MaskedArray) or hasattr(type(X), "collect"):
        X = checks.as_array(X, "X")
    try:
        return validate_data(estimator, X, reset=reset, dtype=_DTYPES)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        if kind is TypeError and hasattr(X, "toarray"):  # sparse
            raise TypeError(f"{error} {_DENSE}") from error
        fault = None if "eature names" in str(error) else _fault(X, str(error))
        if fault is None:
            raise
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


def _fault(X: Any, reason: str) -> str | None:
    """The first cell, column by column, that is no finite number, and what it holds.

    Unless the reason is what a column contains, cells that are no numbers at all go before those
    that are missing or infinite.
    """
    if _is_table(X):
        names = [repr(name) for name in X.columns]
        columns = [
            X.iloc[:, j] if hasattr(X, "iloc") else X[name] for j, name in enumerate(X.columns)
        ]
    elif isinstance(X, np.ndarray) and X.ndim == 2 and not isinstance(X, np.matrix):
        names, columns = [str(j) for j in range(X.shape[1])], list(X.T)
    else:
        return None
    for is_right in (_is_finite,) if "Input X contains" in reason else (_is_real, _is_finite):
        for name, column in zip(names, columns, strict=True):
            for i, value in enumerate(column):
                if not is_right(value):
                    return f"column {name} holds {_shown(value)} in row {i} (counted from 0)"
    return None


def _is_real(value: Any) -> bool:
    """Whether a cell is a number of any size, or missing."""
    if np.iscomplexobj(value):
        return False
    try:
        float(value)
    except OverflowError:
        return True
    except (TypeError, ValueError):
        return value is None or str(value) in ("<NA>", "NaT")
    return True


def _is_finite(value: Any) -> bool:
    try:
        return not np.iscomplexobj(value) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, np.floating) else quoted(value)
