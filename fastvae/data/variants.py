"""Which variant of the data figures are of: likelihoods of other data are not to be compared.

A Bernoulli likelihood gives probabilities to rows of 0 and 1. On grey pixels, values between, its
formula gives numbers that are no log-probability of anything, and other ones than on binary rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.kernels import BINARIZATIONS

VARIANTS = {
    "binary": "binary: values of 0 and 1",
    "dynamic": "dynamic: values drawn as 0 or 1, anew at each visit",
    "threshold": "threshold: values made 1 from 0.5 on, else 0",
    "fixed": "fixed: values drawn as 0 or 1, once for all",
    "grey": "grey: values between 0 and 1, so these nats are no probability of the data",
    "values": "values: as they are",
}
"""The names of variants, and what to say of them beside figures."""

_CHUNK_ELEMENTS = 1 << 20
_FIRST_ROWS = 16  # grey pixels show in the first rows


def check_binarize(binarize: Any, likelihood: str) -> str | None:
    """Return how a model's data are to be made binary, if at all.

    Raises
    ------
    ValueError
        If it is no name of `BINARIZATIONS`, or the likelihood is not Bernoulli.
    """
    if binarize is None:
        return None
    binarize = checks.choice(binarize, BINARIZATIONS, "binarize")
    if likelihood != "bernoulli":
        raise ValueError(
            f"binarize={binarize!r} is for the Bernoulli likelihood, which is one of 0 and 1; this "
            f"model's is {likelihood!r}: leave binarize out, or build the model with "
            "likelihood='bernoulli'"
        )
    return binarize


def variant_of(rows: NDArray[Any], likelihood: str, binarize: str | None) -> str:
    """Return the name of the data's variant, a key of `VARIANTS`.

    Parameters
    ----------
    rows : ndarray
        As `VAE.check_rows` returns them; uint8 means value / 255.
    likelihood : str
        The name of the model's.
    binarize : str or None
        How they are made binary.
    """
    if likelihood != "bernoulli":
        return "values"
    if binarize is not None:
        return binarize
    return "binary" if _is_binary(rows) else "grey"


def _is_binary(rows: NDArray[Any]) -> bool:
    """Whether all values are 0 or 1; chunks of rows are looked at, up to one that has others."""
    one = 255 if rows.dtype == np.uint8 else 1
    start, step = 0, _FIRST_ROWS
    while start < len(rows):
        chunk = rows[start : start + step]
        if not ((chunk == 0) | (chunk == one)).all():
            return False
        start += step
        step = max(_FIRST_ROWS, min(4 * step, _CHUNK_ELEMENTS // rows.shape[1]))
    return True
