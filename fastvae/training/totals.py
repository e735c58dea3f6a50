"""An epoch's totals, as the kernels add them up step by step.

They lie in one array of shape (4 + 2 Z,): loss, reconstruction, KL and number of the rows, then
for each latent the sum of the posterior means, then for each the sum of their squares.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_N_SCALARS = 4


class Totals(NamedTuple):
    """Sums over the rows of an epoch."""

    loss: float
    reconstruction: float
    kl: float
    n_rows: float
    mean: NDArray[np.float64]
    mean_square: NDArray[np.float64]


def new(n_latent: int) -> NDArray[np.float64]:
    """Totals of no row, for the kernels to add to."""
    return np.zeros(_N_SCALARS + 2 * n_latent)


def read(totals: NDArray[np.float64]) -> Totals:
    """The totals by their names."""
    loss, reconstruction, kl, n_rows = map(float, totals[:_N_SCALARS])
    mean, mean_square = np.split(totals[_N_SCALARS:], 2)
    return Totals(loss, reconstruction, kl, n_rows, mean, mean_square)
