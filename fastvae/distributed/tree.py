"""The binary tree in which the sums of blocks are added up, whoever has computed them.

A span [first, last) of blocks is split after the largest power of two of them that is less than
all of them. What a rank sends are sums of whole subtrees, so that the tree is the same for any
number of ranks. A block without rows is left out: its neighbour's sum is then the sum of both.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

Span = tuple[int, int]
_Sum = TypeVar("_Sum")


def split(span: Span) -> tuple[Span, Span]:
    """The two halves of a span of at least two blocks."""
    first, last = span
    middle = first + (1 << (last - first - 1).bit_length() - 1)
    return (first, middle), (middle, last)


def subtrees(blocks: range, span: Span) -> list[Span]:
    """The fewest whole subtrees of the tree over `span` that make up some consecutive blocks."""
    first, last = span
    if not blocks or last <= blocks.start or first >= blocks.stop:
        return []
    if blocks.start <= first and last <= blocks.stop:
        return [span]
    left, right = split(span)
    return subtrees(blocks, left) + subtrees(blocks, right)


def leaves(span: Span) -> set[Span]:
    """The spans of one block each."""
    return {(block, block + 1) for block in range(*span)}


def fold(
    span: Span,
    known: Container[Span],
    sum_of: Callable[[Span], _Sum | None],
    add: Callable[[_Sum, _Sum], _Sum],
) -> _Sum | None:
    """The sum over a span, from those of the subtrees that are known; None without any rows."""
    if span in known:
        return sum_of(span)
    left, right = (fold(half, known, sum_of, add) for half in split(span))
    if left is None or right is None:
        return right if left is None else left
    return add(left, right)
