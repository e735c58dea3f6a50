"""The way of gradients: sums of whole subtrees of blocks go to the owner of each slice.

Letters: R ranks. A rank sends each other rank that one's slice of each of its sums, as soon as the
sum is made; the owner adds up all ranks' sums in the order of the tree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.distributed.blocks import Batch, blocks_of
from fastvae.distributed.ranks import Request
from fastvae.distributed.spread import Owners
from fastvae.distributed.tree import Span, fold, subtrees

Weighted = tuple[NDArray[Any], float]
"""An array, and what it counts for in a sum."""


def add(left: Weighted, right: Weighted) -> Weighted:
    """The sum, in the place of the left array."""
    kernels.weighted_sum(left[0], left[0], right[0], left[1], right[1])
    return left[0], 1.0


class Exchange:
    """The messages of gradients of a training.

    Parameters
    ----------
    owners : Owners
    n_blocks : int
    dtype : dtype
    """

    def __init__(self, owners: Owners, n_blocks: int, dtype: np.dtype[Any]) -> None:
        self._owners, self._tree = owners, (0, n_blocks)
        ranks = owners.ranks
        self._spans = [
            subtrees(blocks_of(rank, ranks.size, n_blocks), self._tree)
            for rank in range(ranks.size)
        ]
        self._others = [rank for rank in range(ranks.size) if rank != ranks.rank]
        self._room = {
            span: np.empty(owners.slice.size, dtype)
            for rank in self._others
            for span in self._spans[rank]
        }
        self._coming: list[Request] = []
        self._going: list[Request] = []

    @property
    def own_spans(self) -> list[Span]:
        """The subtrees whose sums this rank makes."""
        return self._spans[self._owners.ranks.rank]

    def expect(self, batch: Batch) -> None:
        """Be ready for what other ranks send of a batch."""
        if self._owners.slice.size:
            self._coming = [
                self._owners.ranks.comm.Irecv(self._room[span], rank, tag=span[0])
                for rank in self._others
                for span in self._spans[rank]
                if batch.present(range(*span))
            ]

    def send(self, span: Span, total: NDArray[Any]) -> None:
        """Begin to send a sum, which must stay as it is until `finish`, to its owners."""
        for rank in self._others:
            part = total[self._owners.elements(rank)]
            if part.size:
                self._going.append(self._owners.ranks.comm.Isend(part, rank, tag=span[0]))

    def total(self, own: dict[Span, Weighted | None], batch: Batch) -> NDArray[Any]:
        """The own slice of the gradient of a batch, of what came and of the own sums."""
        _wait(self._coming)
        known = set(self._room) | set(own)

        def sum_of(span: Span) -> Weighted | None:
            if span in own:
                found = own[span]
                return None if found is None else (self._owners.own(found[0]), found[1])
            present = batch.present(range(*span))
            if not present:
                return None
            return self._room[span], batch.weight(present[0]) if len(present) == 1 else 1.0

        total = fold(self._tree, known, sum_of, add)
        assert total is not None  # a batch has rows, and one of a single block the weight 1
        return total[0]

    def finish(self) -> None:
        """Wait until all that was sent may be changed."""
        _wait(self._going)

    def share(self, parameters: NDArray[Any]) -> None:
        """Give all ranks the own slice of the parameters, and take over theirs where they lie."""
        own, tag = self._owners.own(parameters), self._tree[1]  # which no sum has
        messages: list[Request] = []
        for rank in self._others:
            part = parameters[self._owners.elements(rank)]
            if part.size:
                messages.append(self._owners.ranks.comm.Irecv(part, rank, tag=tag))
            if own.size:
                messages.append(self._owners.ranks.comm.Isend(own, rank, tag=tag))
        _wait(messages)


def _wait(requests: list[Request]) -> None:
    """Wait for messages, and forget them."""
    for request in requests:
        request.Wait()
    requests.clear()
