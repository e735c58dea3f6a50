"""What is summed up over all rows before a training, whoever holds which of them.

Rows are taken whole, or part by part: then what was found of the parts is put together in one
order, whichever ranks have looked at them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastvae.data.labelled import RowSource
from fastvae.distributed.blocks import Blocks
from fastvae.distributed.spread import Spread
from fastvae.distributed.tree import fold, leaves

Sums = NDArray[np.float64]


class Parts(Protocol):
    """Rows in parts, some or all of which are at hand."""

    def n_rows(self, X: RowSource) -> int:
        """How many rows there are in all, of which `X` are those at hand."""

    def total(self, X: RowSource, sums_of: Callable[[RowSource, int], Sums]) -> Sums:
        """The sum over all rows, of a function of rows and the number of the first of them."""

    def digest(self, X: RowSource, digest_of: Callable[[RowSource, int], str]) -> str:
        """A digest of all rows, of a function of rows and the number of parts."""


class Whole:
    """Rows that are all at hand, and one part."""

    def n_rows(self, X: RowSource) -> int:
        """How many there are."""
        return len(X)

    def total(self, X: RowSource, sums_of: Callable[[RowSource, int], Sums]) -> Sums:
        """What the function finds of them."""
        return sums_of(X, 0)

    def digest(self, X: RowSource, digest_of: Callable[[RowSource, int], str]) -> str:
        """What the function finds of them."""
        return digest_of(X, 1)


class BlockParts:
    """The parts of the own blocks, beside those of other ranks."""

    def __init__(self, spread: Spread, blocks: Blocks) -> None:
        self._spread, self._blocks = spread, blocks

    def n_rows(self, X: RowSource) -> int:
        """How many rows all ranks have."""
        return self._blocks.n_rows

    def _own(self, X: RowSource) -> list[tuple[int, RowSource, int]]:
        """The own blocks that have rows, with their rows, and the number of the first."""
        parts = {block: self._blocks.part(block) for block in self._spread.own_blocks}
        first = self._blocks.rows(self._spread.own_blocks).start
        return [
            (block, X[part.start - first : part.stop - first], part.start)
            for block, part in parts.items()
            if part
        ]

    def total(self, X: RowSource, sums_of: Callable[[RowSource, int], Sums]) -> Sums:
        """The sums of the parts, added up in the tree of blocks."""
        own = {block: sums_of(rows, first) for block, rows, first in self._own(X)}
        found: dict[int, Any] = {}
        for told in self._spread.ranks.of_all(own):
            found |= told
        tree = (0, self._blocks.n_blocks)
        total = fold(tree, leaves(tree), lambda span: found.get(span[0]), np.add)
        assert total is not None
        return total

    def digest(self, X: RowSource, digest_of: Callable[[RowSource, int], str]) -> str:
        """A digest of the digests of the parts."""
        n_parts = self._blocks.n_blocks
        own = [digest_of(rows, n_parts) for _, rows, _ in self._own(X)]
        together = [digest for told in self._spread.ranks.of_all(own) for digest in told]
        return hashlib.sha256(" ".join([str(n_parts), *together]).encode()).hexdigest()


WHOLE = Whole()
