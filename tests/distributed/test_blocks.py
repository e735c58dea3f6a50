"""How rows are dealt to blocks and batches, and blocks to ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastvae.distributed import rows_of
from fastvae.distributed.blocks import Blocks, blocks_of, check_blocks

SIZES = [(1, 1, 1), (5, 8, 3), (103, 8, 20), (103, 8, 7), (104, 8, 16), (99, 3, 10), (64, 5, 64)]
each_size = pytest.mark.parametrize(("n_rows", "n_blocks", "batch_size"), SIZES)


@each_size
def test_parts_are_consecutive_and_of_equal_sizes(
    n_rows: int, n_blocks: int, batch_size: int
) -> None:
    parts = [Blocks(n_rows, n_blocks).part(block) for block in range(n_blocks)]
    assert [row for part in parts for row in part] == list(range(n_rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@each_size
def test_an_epoch_visits_every_row_once(n_rows: int, n_blocks: int, batch_size: int) -> None:
    blocks = Blocks(n_rows, n_blocks)
    visited: list[tuple[int, int]] = []
    for first in range(0, n_rows, batch_size):
        last = min(first + batch_size, n_rows)
        batch = blocks.batch(first, last)
        assert batch.n_rows == last - first
        sizes = [len(taken) for taken in batch.taken]
        assert max(sizes) - min(sizes) <= 1
        assert [batch.place(block) for block in range(n_blocks)] == [
            sum(sizes[:block]) for block in range(n_blocks)
        ]
        assert sum(batch.weight(block) for block in range(n_blocks)) == pytest.approx(1.0)
        visited += [(block, i) for block in range(n_blocks) for i in batch.taken[block]]
    expected = [(b, i) for b in range(n_blocks) for i in range(len(blocks.part(b)))]
    assert sorted(visited) == expected


def test_a_batch_that_blocks_divide_has_as_many_rows_of_each() -> None:
    batch = Blocks(1000, 8).batch(128, 256)
    assert [len(taken) for taken in batch.taken] == [16] * 8


@pytest.mark.parametrize("size", range(1, 9))
def test_ranks_have_all_blocks_and_rows(size: int) -> None:
    blocks = [block for rank in range(size) for block in blocks_of(rank, size, 8)]
    assert blocks == list(range(8))
    rows = [row for rank in range(size) for row in rows_of(103, 8, rank, size)]
    assert rows == list(range(103))


def test_rows_of_takes_numbers_of_any_kind_and_refuses_nonsense() -> None:
    given: Any = np.int64(16)
    assert rows_of(given, 8, 1, 2) == range(8, 16)
    for wrong, message in (
        ((0, 8, 0, 1), "n_rows must be"),
        ((9, 2, 0, 3), "n_blocks must be at least the number of ranks"),
        ((9, 8, 3, 3), "rank must be below size, 3; got 3"),
        ((9, 2**17, 0, 1), "n_blocks must be"),
    ):
        with pytest.raises(ValueError, match=message):
            rows_of(*wrong)


def test_a_rank_needs_a_block() -> None:
    assert check_blocks(8, 8) == 8
    with pytest.raises(ValueError, match="got n_blocks=2 and 3 ranks"):
        check_blocks(2, 3)
