"""Gaussian columns on a common scale, those that do not vary apart from the others.

Letters: n rows, D columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.checks import scales
from fastvae.checks.foreign import column_name

_LARGEST = 1e9
"""Beyond so many deviations all rows are equally far: squares of more are infinite in float32."""
_ROUNDING = 16.0
_OUTGROWN = (
    "these rows are far from the first that partial_fit was given, whose scaling it keeps: begin "
    "with more rows, such that their columns vary as all do, or scale the columns before"
)


@dataclass(frozen=True)
class Scaling:
    """What columns are shifted and divided by, and which of them the model has.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (D,)
    modelled : ndarray of bool, shape (D,)
        Columns that vary. The others are no part of the model: they would have no information
        for it, and the largest gradients.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    modelled: NDArray[np.bool_]

    @classmethod
    def of(cls, X: NDArray[Any], given: Any, *, may_vary_later: bool) -> Scaling:
        """The scaling by the means and standard deviations of rows.

        A column whose differences are rounding errors does not vary; its scale is the size of its
        value, or 1.

        Parameters
        ----------
        X : ndarray, shape (n, D)
        given : object
            What the user gave, for the names of its columns.
        may_vary_later : bool
            All columns are modelled, also those that do not vary in these rows.

        Raises
        ------
        ValueError
            If the differences of a column are beyond float64, or values are not finite.
        """
        low, high = (np.asarray(f(X, axis=0), np.float64) for f in (np.min, np.max))
        with np.errstate(over="ignore"):
            if not np.isfinite(high - low).all():
                worst = int(np.argmin(np.isfinite(high - low)))
                are = (
                    "too far apart for float64" if np.isfinite([low, high]).all() else "not finite"
                )
                raise ValueError(f"values of column {column_name(given, worst)} of X are {are}")
        rounding = _ROUNDING * np.finfo(X.dtype).eps * np.maximum(np.abs(low), np.abs(high))
        varies = high - low > rounding
        spread = np.where(varies, high - low, 1.0)
        shares = (X - low) / spread  # whose sums are exact enough, and whose squares are finite
        mean = low + spread * shares.mean(axis=0)
        magnitude = np.where(mean == 0.0, 1.0, np.abs(mean))
        scale = np.where(varies, spread * shares.std(axis=0), magnitude)
        every = may_vary_later or not varies.any()
        return cls(mean, scale, np.ones_like(varies) if every else varies)

    @classmethod
    def none(cls, n_columns: int) -> Scaling:
        """The scaling that changes nothing."""
        return cls(np.zeros(n_columns), np.ones(n_columns), np.ones(n_columns, np.bool_))

    def apply(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """The modelled columns of rows, standardised, each row in one piece of memory."""
        return self._standardised(X)[:, self.modelled].astype(np.float32, order="C")

    def warn_if_outgrown(self, rows: NDArray[np.float32]) -> None:
        """Warn of standardised rows that are far beyond those that the scaling was made of."""
        if np.sqrt(np.square(rows, dtype=np.float64).mean(axis=0)).max() > scales.LARGE_SCALE:
            scales.warn(_OUTGROWN)

    def undo(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """All columns, of standardised modelled ones."""
        X = np.tile(self.mean, (len(rows), 1))
        X[:, self.modelled] += rows * self.scale[self.modelled]
        return X

    def log_density(self, X: NDArray[Any]) -> NDArray[np.float64] | float:
        """What log p(x) has beside that of the standardised modelled columns.

        These are the logarithms of scales, and the density of columns that do not vary: a normal
        one with the least sigma that a model has.
        """
        log_p = -float(np.log(self.scale).sum())
        if self.modelled.all():
            return log_p
        z = self._standardised(X)[:, ~self.modelled] / kernels.SIGMA_MIN
        log_p -= z.shape[1] * (0.5 * math.log(2 * math.pi) + math.log(kernels.SIGMA_MIN))
        return log_p - 0.5 * np.square(z).sum(axis=1)

    def _standardised(self, X: NDArray[Any]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            return np.clip((X - self.mean) / self.scale, -_LARGEST, _LARGEST)
