"""Rows with a label each, as conditional models take them: they go together through every pass."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastvae.checks.lazy import LazyRows


class RowSource(Protocol):
    """Rows of which a pass reads slices: an array, or what makes arrays when it is asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n_columns)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class Labelled:
    """Rows, or latents, and the label of each; slices of both are such rows again.

    Parameters
    ----------
    rows : RowSource
        n rows that were checked.
    labels : ndarray of int64, shape (n,)
        Numbers of classes, from 0 on.
    """

    def __init__(self, rows: RowSource, labels: NDArray[np.int64]) -> None:
        self.rows, self.labels = rows, labels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the rows, (n, n_columns)."""
        return self.rows.shape

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Labelled:
        return Labelled(self.rows[index], self.labels[index])


Checked: TypeAlias = NDArray[Any] | Labelled
"""Rows as a model's network takes them: with labels, where it is conditional."""


def values(rows: Any) -> Any:
    """The rows alone."""
    return rows.rows if isinstance(rows, Labelled) else rows


def labels(rows: Any) -> NDArray[np.int64] | None:
    """Their labels, if they have any."""
    return rows.labels if isinstance(rows, Labelled) else None


def part(rows: Any, wanted: slice) -> Any:
    """Some of the rows, with their labels if they have any; none is converted for it."""
    if isinstance(rows, Labelled):
        return Labelled(part(rows.rows, wanted), rows.labels[wanted])
    return rows.part(wanted) if isinstance(rows, LazyRows) else rows[wanted]


def beside(rows: Any, like: Any) -> Any:
    """Rows with the labels that others have, if they have any."""
    return Labelled(rows, like.labels) if isinstance(like, Labelled) else rows
