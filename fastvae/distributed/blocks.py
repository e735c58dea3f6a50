"""Blocks: which rows each has, which of them a batch takes, and which rank does which blocks.

Rows are cut into `n_blocks` parts that follow one another. Part b, in an order of its own, is dealt
out like cards: places b, b + n_blocks, b + 2 n_blocks, ... of the epoch are its first row, its
second, and so on. Batch s takes the places [s B, (s + 1) B) of the epoch, and block b is what of
them is of part b. So every row is visited once an epoch, every batch but the last has B rows,
and blocks of a batch differ by one row at most; all is fixed by the rows, B and `n_blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastvae import checks

DEFAULT_BLOCKS = 8
"""Blocks of a training that is given a communicator."""
MOST_BLOCKS = 2**16


@dataclass(frozen=True)
class Blocks:
    """How so many rows are cut into so many parts."""

    n_rows: int
    n_blocks: int

    def n_dealt(self, block: int, n_places: int) -> int:
        """How many of the first `n_places` places of an epoch are of a part."""
        each, more = divmod(n_places, self.n_blocks)
        return each + (block < more)

    def part(self, block: int) -> range:
        """The rows of a part."""
        each, more = divmod(self.n_rows, self.n_blocks)
        first = block * each + min(block, more)
        return range(first, first + self.n_dealt(block, self.n_rows))

    def rows(self, blocks: range) -> range:
        """The rows of parts that follow one another."""
        if not blocks:
            return range(0)
        return range(self.part(blocks[0]).start, self.part(blocks[-1]).stop)

    def batch(self, first_place: int, last_place: int) -> Batch:
        """The batch of the places [first_place, last_place) of an epoch."""
        taken = tuple(
            range(self.n_dealt(block, first_place), self.n_dealt(block, last_place))
            for block in range(self.n_blocks)
        )
        return Batch(taken)


@dataclass(frozen=True)
class Batch:
    """One batch: which rows each block has, by their places in the order of their part."""

    taken: tuple[range, ...]

    @property
    def n_rows(self) -> int:
        """Rows of the whole batch."""
        return sum(map(len, self.taken))

    def present(self, blocks: range) -> list[int]:
        """Those of some blocks that have rows: in a short batch not all may have any."""
        return [block for block in blocks if self.taken[block]]

    def place(self, block: int) -> int:
        """The place of a block's first row in the batch, in which blocks follow one another."""
        return sum(map(len, self.taken[:block]))

    def weight(self, block: int) -> float:
        """What the mean over a block counts for in the mean over the batch."""
        return len(self.taken[block]) / self.n_rows


def blocks_of(rank: int, size: int, n_blocks: int) -> range:
    """The blocks of a rank: consecutive ones, of which ranks have equally many or one more."""
    return range(rank * n_blocks // size, (rank + 1) * n_blocks // size)


def rows_of(n_rows: int, n_blocks: int, rank: int, size: int) -> range:
    """The rows that a rank trains on, and must hold where it holds a part of them only.

    Parameters
    ----------
    n_rows : int
        Rows of all ranks together.
    n_blocks : int
        Blocks that every batch is made of, as for `VAE.fit`.
    rank, size : int
        The rank, from 0 on, and how many there are.

    Returns
    -------
    range
        Of rows that follow one another: ``X[rows.start : rows.stop]``.

    Raises
    ------
    TypeError, ValueError
        If a number is not what it must be.
    """
    n_rows = checks.integer(n_rows, "n_rows")
    n_blocks = check_blocks(n_blocks, checks.integer(size, "size"))
    rank = checks.count(rank, "rank")
    if rank >= size:
        raise ValueError(f"rank must be below size, {size}; got {rank}")
    return Blocks(n_rows, n_blocks).rows(blocks_of(rank, size, n_blocks))


def check_blocks(n_blocks: Any, size: int) -> int:
    """Return the number of blocks for so many ranks.

    Raises
    ------
    TypeError, ValueError
        If it is none, or there are more ranks than blocks.
    """
    n_blocks = checks.integer(n_blocks, "n_blocks", maximum=MOST_BLOCKS)
    if size > n_blocks:
        raise ValueError(
            f"n_blocks must be at least the number of ranks, each of which does whole blocks; got "
            f"n_blocks={n_blocks} and {size} ranks"
        )
    return n_blocks
