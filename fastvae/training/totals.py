"""An epoch's totals, as the kernels add them up step by step.

They lie in one array of shape (4 + 2 Z,): loss, reconstruction, KL and number of the rows, then
for each latent the sum of the posterior means, then for each the sum of their squares.
"""

import numpy as np
from numpy.typing import NDArray

_N_SCALARS = 4


def new(n_latent: int) -> NDArray[np.float64]:
    """Totals of no row, for the kernels to add to."""
    return np.zeros(_N_SCALARS + 2 * n_latent)


def scalars(totals: NDArray[np.float64]) -> list[float]:
    """Loss, reconstruction, KL and number of rows."""
    return [float(total) for total in totals[:_N_SCALARS]]


def latent_sums(totals: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums of the posterior means, and of their squares, each of shape (Z,)."""
    mean, mean_square = np.split(totals[_N_SCALARS:], 2)
    return mean, mean_square
