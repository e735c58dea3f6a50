"""Data variants, grey pixels or binary ones: figures of different variants do not compare.

A Bernoulli likelihood gives probabilities to rows of 0 and 1. On grey pixels, values between, its
formula gives numbers that are no log-probability of anything, and other ones than on binary rows.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.data import labelled
from fastvae.data.labelled import Checked, Labelled
from fastvae.kernels import BINARIZATIONS, gather_binary

VARIANTS = {
    "binary": "binary: values of 0 and 1",
    "dynamic": "dynamic: values drawn as 0 or 1, anew at each visit",
    "threshold": "threshold: values made 1 from 0.5 on, else 0",
    "fixed": "fixed: values drawn as 0 or 1, once for all",
    "grey": "grey: values between 0 and 1, so these nats are no probability of the data",
    "values": "values: as they are",
}
"""The names of variants, and what to say of them beside figures."""

_Name = TypeVar("_Name", bound=str | None)
_BERNOULLI = "bernoulli"
_CHUNK_ELEMENTS = 1 << 20
_FIRST_ROWS = 16  # grey pixels show in the first rows


def check_binarize(binarize: _Name, likelihood: str) -> _Name:
    """Return how a model's data are to be made binary, if at all.

    Raises
    ------
    ValueError
        If it is no name of `BINARIZATIONS`, or the likelihood is not Bernoulli.
    """
    if binarize is None:
        return binarize
    checks.choice(binarize, BINARIZATIONS, "binarize")
    if likelihood != _BERNOULLI:
        raise ValueError(
            f"binarize={binarize!r} is for the Bernoulli likelihood, which is one of 0 and 1; this "
            f"model's is {likelihood!r}: leave binarize out, or build the model with "
            "likelihood='bernoulli'"
        )
    return binarize


def binarized(
    rows: Checked, dtype: np.dtype[Any], binarize: str | None, seed: int, keys: NDArray[Any]
) -> Checked:
    """Return rows with each value made 0 or 1, in the model's dtype; as they are if None.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features), or Labelled
        uint8 means value / 255.
    dtype : dtype
    binarize : str or None
        A name of `BINARIZATIONS`.
    seed : int
        Of dynamic draws.
    keys : ndarray of int64, shape (n,)
        What the draws of each row go by, as its number: see `kernels.gather_binary`.
    """
    if binarize is None:
        return rows
    if isinstance(rows, Labelled):
        return Labelled(binarized(labelled.values(rows), dtype, binarize, seed, keys), rows.labels)
    out, order = np.empty(rows.shape, dtype), np.arange(len(rows))
    gather_binary(out, rows, order, keys, BINARIZATIONS[binarize], seed)
    return out


def variant_of(rows: Checked, kinds: Sequence[tuple[str, int]], binarize: str | None) -> str:
    """Return the name of the data's variant, a key of `VARIANTS`.

    Parameters
    ----------
    rows : ndarray or Labelled
        As `VAE.check_rows` returns them; uint8 means value / 255, NaN what is missing.
    kinds : sequence of (str, int)
        The likelihood and the number of the columns of each block of the rows.
    binarize : str or None
        How they are made binary.
    """
    if binarize is not None:
        return binarize
    first, given = 0, labelled.values(rows)
    for kind, n_columns in kinds:
        if kind == _BERNOULLI and not _is_binary(given[:, first : first + n_columns]):
            return "grey"
        first += n_columns
    return "binary" if all(kind == _BERNOULLI for kind, _ in kinds) else "values"


def _is_binary(rows: NDArray[Any]) -> bool:
    """Whether all values are 0 or 1; chunks of rows are looked at, up to one that has others."""
    one = 255 if rows.dtype == np.uint8 else 1
    start, step = 0, _FIRST_ROWS
    while start < len(rows):
        chunk = rows[start : start + step]
        if not ((chunk == 0) | (chunk == one) | (chunk != chunk)).all():
            return False
        start += step
        step = max(_FIRST_ROWS, min(4 * step, _CHUNK_ELEMENTS // rows.shape[1]))
    return True
