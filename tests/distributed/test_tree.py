"""The tree of sums: the same for every number of ranks."""

from __future__ import annotations

import pytest

from fastvae.distributed.blocks import blocks_of
from fastvae.distributed.tree import fold, leaves, split, subtrees


def written(span: tuple[int, int], absent: frozenset[int] = frozenset()) -> str | None:
    """The sum over a span as a formula."""

    def leaf(block: tuple[int, int]) -> str | None:
        return None if block[0] in absent else str(block[0])

    return fold(span, leaves(span), leaf, lambda left, right: f"({left}+{right})")


def test_the_tree_is_binary_and_in_order() -> None:
    assert written((0, 8)) == "(((0+1)+(2+3))+((4+5)+(6+7)))"
    assert written((0, 5)) == "(((0+1)+(2+3))+4)"
    assert written((0, 1)) == "0"
    assert split((4, 7)) == ((4, 6), (6, 7))


def test_blocks_without_rows_are_left_out() -> None:
    assert written((0, 8), frozenset({1, 4, 5})) == "((0+(2+3))+(6+7))"
    assert written((0, 4), frozenset(range(4))) is None


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 5, 8, 12])
def test_sums_of_ranks_make_the_same_tree(n_blocks: int) -> None:
    tree = (0, n_blocks)
    for size in range(1, n_blocks + 1):
        known = {
            span: written(span)
            for rank in range(size)
            for span in subtrees(blocks_of(rank, size, n_blocks), tree)
        }
        total = fold(tree, known, known.__getitem__, lambda a, b: f"({a}+{b})")
        assert total == written(tree)


def test_a_rank_sends_few_sums() -> None:
    assert subtrees(range(4), (0, 8)) == [(0, 4)]
    assert subtrees(range(2, 5), (0, 8)) == [(2, 4), (4, 5)]
    assert subtrees(range(0), (0, 8)) == []
