"""How a training is spread: over which ranks, in which blocks, and who owns what of the arena."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.data.dataset import Dataset
from fastvae.distributed.blocks import (
    DEFAULT_BLOCKS,
    Blocks,
    blocks_of,
    check_blocks,
)
from fastvae.distributed.ranks import ALONE, Communicator, Ranks
from fastvae.kernels import engine


@dataclass(frozen=True)
class Spread:
    """Ranks, and the number of blocks of every batch.

    Attributes
    ----------
    shard : (int, int) or None
        The first row that a rank was given, and the number of all; None where each has all rows.
    """

    ranks: Ranks = ALONE
    n_blocks: int = 1
    shard: tuple[int, int] | None = None

    @classmethod
    def of(cls, comm: Communicator | None, n_blocks: Any, shard: Any) -> Spread:
        """The spread of arguments as users give them.

        Raises
        ------
        TypeError, ValueError
            If one is not what it must be.
        """
        if comm is not None and not hasattr(comm, "Get_rank"):
            raise TypeError(
                "comm must be a communicator of mpi4py, as MPI.COMM_WORLD; got "
                f"{type(comm).__name__}"
            )
        ranks = Ranks(comm)
        if n_blocks is None:
            n_blocks = 1 if comm is None else DEFAULT_BLOCKS
        return ranks.together(lambda: cls(ranks, check_blocks(n_blocks, ranks.size), _shard(shard)))

    @property
    def is_plain(self) -> bool:
        """Whether every batch is one block."""
        return self.n_blocks == 1

    @property
    def own_blocks(self) -> range:
        """The blocks that this rank does."""
        return blocks_of(self.ranks.rank, self.ranks.size, self.n_blocks)

    @property
    def block_ends(self) -> list[int]:
        """The blocks that the ranks begin with, and at last their number."""
        size = self.ranks.size
        return [blocks_of(rank, size, self.n_blocks).start for rank in range(size)] + [
            self.n_blocks
        ]

    def own(self, data: Any, labels: Any) -> tuple[Any, Any, int, int]:
        """What this rank trains on of rows and labels, the number of its first row, and of all.

        Raises
        ------
        ValueError
            If it was given other rows than those that it is to have.
        """
        n_given = _n_rows(data)
        if self.shard is None and (self.ranks.size == 1 or n_given is None):
            return data, labels, 0, -1 if n_given is None else n_given
        n_rows = self.shard[1] if self.shard is not None else n_given
        assert n_rows is not None
        wanted = Blocks(n_rows, self.n_blocks).rows(self.own_blocks)
        if self.shard is None:
            taken = slice(wanted.start, wanted.stop)
            return *_cut(data, labels, taken), wanted.start, n_rows
        if (self.shard[0], n_given) != (wanted.start, len(wanted)):
            raise ValueError(
                f"rank {self.ranks.rank} of {self.ranks.size} must have the {len(wanted):,} rows "
                f"from row {wanted.start:,} on of {n_rows:,}, in {self.n_blocks} blocks (see "
                f"fastvae.distributed.rows_of); got {n_given:,} rows and shard={self.shard}"
            )
        return data, labels, wanted.start, n_rows


def _shard(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(f"shard must be a pair (first_row, n_rows_total); got {given!r}")
    first, total = checks.count(given[0], "shard[0]"), checks.integer(given[1], "shard[1]")
    return first, total


def _n_rows(data: Any) -> int | None:
    """How many training rows there are, if that can be asked."""
    try:
        return len(data.train if isinstance(data, Dataset) else data)
    except TypeError:
        return None


def _cut(data: Any, labels: Any, rows: slice) -> tuple[Any, Any]:
    """Some of the rows, and of their labels: no others are read."""
    if labels is not None:
        labels = np.asarray(labels)[rows]
    if not isinstance(data, Dataset):
        return data[rows], labels
    part = copy.copy(data)
    part.train = data.train[rows]
    if data.train_labels is not None:
        part.train_labels = data.train_labels[rows]
    return part, labels


class Owners:
    """Who owns which slice of the arena: applies the gradient to it, and has its moments."""

    def __init__(self, ranks: Ranks, table: NDArray[Any], dtype: np.dtype[Any]) -> None:
        self.ranks, self._dtype = ranks, dtype
        starts, _ = engine.panels(table, dtype)
        cuts = engine.cut_panels(starts, ranks.size).tolist()
        self.ends = [int(starts[panel]) for panel in cuts]
        self.slice = engine.Slice(table, dtype, cuts[ranks.rank], cuts[ranks.rank + 1])
        width = len(self.slice.partial) // (len(starts) - 1)
        self.sum_ends = [panel * width for panel in cuts]

    def elements(self, rank: int) -> slice:
        """The elements of the arena that a rank owns."""
        return slice(self.ends[rank], self.ends[rank + 1])

    def own(self, arena: NDArray[Any]) -> NDArray[Any]:
        """The own slice of an array that is laid out like the parameters."""
        return arena[self.slice.elements]

    def new(self) -> NDArray[Any]:
        """Zeros for the own slice."""
        return engine.aligned_zeros(self.slice.size, self._dtype)

    def whole(self, own: NDArray[Any]) -> NDArray[Any] | None:
        """On rank 0 the array of which each rank has its slice."""
        if self.ranks.size == 1:
            return own
        out = engine.aligned_zeros(self.ends[-1], self._dtype) if self.ranks.is_first else None
        self.ranks.gather(own, out, self.ends)
        return out
