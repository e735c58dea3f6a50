"""Rows that are converted where they are read, a slice at a time.

So a memory map of any real dtype can be larger than memory.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_ELEMENTS = 1 << 22
"""Elements that are converted at once, so that Ctrl-C need not wait long: float16 takes 10 ns."""


class LazyRows:
    """Rows of any real dtype; slices of them are arrays that the gather kernel reads.

    Parameters
    ----------
    given : ndarray, shape (n, n_columns)
        Rows that were checked.
    target : numpy.dtype
        What slices are converted to.
    passed_through : tuple of numpy.dtype
        Aligned slices of these dtypes stay as they are.
    clipped : bool
        Whether what lies outside [0, 1] is clipped.
    """

    def __init__(
        self,
        given: NDArray[Any],
        target: np.dtype[Any],
        passed_through: tuple[np.dtype[Any], ...],
        clipped: bool,
    ) -> None:
        self.given = given
        self.shape = given.shape
        self._target, self._passed_through, self._clipped = target, passed_through, clipped

    def __len__(self) -> int:
        return len(self.given)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        rows = self.given[index]
        step = max(1, _BLOCK_ELEMENTS // self.shape[1])
        block = self._converted(rows[:step])
        if len(rows) <= step:
            return block
        converted = np.empty(rows.shape, block.dtype)
        converted[:step] = block
        for first in range(step, len(rows), step):
            converted[first : first + step] = self._converted(rows[first : first + step])
        return converted

    def part(self, rows: slice) -> "LazyRows":
        """Some of the rows, none of them converted yet."""
        return LazyRows(self.given[rows], self._target, self._passed_through, self._clipped)

    def _converted(self, rows: NDArray[Any]) -> NDArray[Any]:
        rows = np.clip(rows, 0, 1) if self._clipped else rows
        if rows.dtype in self._passed_through and rows.flags.aligned:
            return np.ascontiguousarray(rows)
        return rows.astype(self._target, order="C")
