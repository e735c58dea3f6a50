"""What rows are as a network sees them: their means and variances by column, and their digest."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import numpy as np

from fastvae.data import labelled
from fastvae.data.labelled import RowSource
from fastvae.data.variants import binarized
from fastvae.distributed.parts import WHOLE, Parts
from fastvae.kernels import engine

CHUNK_ROWS = 512
"""Rows that a workspace of passes has room for."""


class RowStatistics:
    """Base of a network: what it finds in the rows that it gathers."""

    n_features: int
    dtype: np.dtype
    parameters: np.ndarray

    @abstractmethod
    def borrow(self, data: RowSource, n_columns: int, skip_zeros: bool) -> engine.Workspace:
        """A workspace that no other call uses, set to work on rows."""

    @abstractmethod
    def give_back(self, work: engine.Workspace) -> None:
        """Let other calls use a workspace."""

    @abstractmethod
    def hand_over(self, data: RowSource, work: engine.Workspace) -> None:
        """Set a workspace to work on rows."""

    def column_means(
        self, X: RowSource, binarize: str | None = None, parts: Parts = WHOLE
    ) -> np.ndarray:
        """Return the mean of each feature as the network sees it, float64, shape (n_features,).

        It is that of all rows, where X are some of several `parts`.
        """
        total = parts.total(X, partial(self._column_sums, binarize, lambda rows: rows))
        return total / parts.n_rows(X)

    def column_moments(
        self, X: RowSource, binarize: str | None = None, parts: Parts = WHOLE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the variance of each feature, float64 of shape (n_features,).

        They are those of the values that are not missing, and NaN where there is none.
        """

        def total(summed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            return parts.total(X, partial(self._column_sums, binarize, summed))

        n_known = total(lambda rows: ~np.isnan(rows))
        with np.errstate(invalid="ignore"):
            means = total(_known) / n_known
            squares = total(lambda rows: _known(np.square(rows - means)))
            return means, squares / n_known

    def _column_sums(
        self,
        binarize: str | None,
        summed: Callable[[np.ndarray], np.ndarray],
        X: RowSource,
        first_row: int,
    ) -> np.ndarray:
        """Return the sum over the rows, from number `first_row` on, of what a function makes of
        them.

        Rows are gathered into the working dtype and summed pairwise in float64, by a tree of fixed
        shape over each chunk, so that neither the dtype of X, nor its strides, nor how NumPy sums
        shows in the result. The mean of dynamic draws is that of what they are drawn from.
        """
        total = np.zeros(self.n_features)
        half = CHUNK_ROWS // 2
        sums = np.empty((half, self.n_features))
        work = self.borrow(X[:CHUNK_ROWS], self.n_features, False)
        try:
            order = np.arange(min(len(X), CHUNK_ROWS))
            rows = work.matrix(work.passes.data_place, CHUNK_ROWS, self.n_features)
            for first in range(0, len(X), CHUNK_ROWS):
                chunk = X[first : first + CHUNK_ROWS]
                if binarize != "dynamic":
                    keys = first_row + first + order[: len(chunk)]
                    chunk = binarized(chunk, self.dtype, binarize, 0, keys)
                self.hand_over(chunk, work)
                gathering = work.passes.gathering
                work.run(gathering, self.parameters, order[: len(chunk)], work.matrices)
                rows[len(chunk) :] = 0.0
                values = summed(rows)
                values[len(chunk) :] = 0.0
                np.add(values[:half], values[half:], out=sums, dtype=np.float64)
                n = half // 2
                while n:
                    sums[:n] += sums[n : 2 * n]
                    n //= 2
                total += sums[0]
        finally:
            self.give_back(work)
        return total

    def fingerprint(self, X: RowSource, n_sampled: int | None = None, parts: Parts = WHOLE) -> str:
        """A digest of rows as the network sees them: their values count, not how they are stored,
        and their labels, where they have them.

        Parameters
        ----------
        X : rows of shape (n, n_features)
        n_sampled : int, optional
            Look at so many rows only, evenly spaced.
        parts : Parts
            Of which X are some.
        """
        return parts.digest(X, partial(self._digest, n_sampled))

    def _digest(self, n_sampled: int | None, X: RowSource, n_parts: int) -> str:
        """A digest of one of several parts."""
        order = np.arange(len(X))
        n_sampled = None if n_sampled is None else -(-n_sampled // n_parts)
        if n_sampled is not None and n_sampled < len(X):
            order = np.linspace(0, len(X) - 1, n_sampled).astype(np.int64)
        digest = hashlib.sha256(str(X.shape).encode())
        labels = labelled.labels(X)
        if labels is not None:
            digest.update(labels[order].astype("<i8").data)
        work = self.borrow(X, self.n_features, False)
        try:
            rows = work.matrix(work.passes.data_place, work.n_rows, self.n_features)
            for chunk, first in enumerate(range(0, len(order), work.n_rows)):
                work.run(work.passes.gathering, self.parameters, order, work.matrices, chunk)
                digest.update(np.ascontiguousarray(rows[: len(order) - first]).data)
        finally:
            self.give_back(work)
        return digest.hexdigest()


def _known(values: np.ndarray) -> np.ndarray:
    """Values with 0 for those that are missing."""
    return np.where(np.isnan(values), 0.0, values)
