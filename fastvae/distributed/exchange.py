"""The way of gradients: sums of whole subtrees of blocks go to the owner of each slice.

Letters: R ranks. A rank sends each other rank that one's slice of each of its sums, layer by layer
as soon as the sum is made; the owner adds up all ranks' sums in the order of the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    layers : list of slice
        Elements of the arena whose gradient is done before that of others, in their order.

    Attributes
    ----------
    parts : list of list of slice
        What is sent by itself: each of the layers, and at last the rest.
    """

    def __init__(
        self, owners: Owners, n_blocks: int, dtype: np.dtype[Any], layers: list[slice]
    ) -> None:
        self._owners, self._tree = owners, (0, n_blocks)
        self.parts = [*([layer] for layer in layers), _rest(layers, owners.ends[-1])]
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
        own = self._owners.slice.elements
        self._coming = [
            self._owners.ranks.comm.Irecv(
                self._room[span][start - own.start : stop - own.start], rank, tag=tag
            )
            for rank in self._others
            for span in self._spans[rank]
            if batch.present(range(*span))
            for part in range(len(self.parts))
            for tag, start, stop in self._messages(span, part, own)
        ]

    def send(self, span: Span, total: NDArray[Any], part: int) -> None:
        """Begin to send a part of a sum, which must stay as it is until `finish`, to its owners."""
        for rank in self._others:
            for tag, start, stop in self._messages(span, part, self._owners.elements(rank)):
                message = self._owners.ranks.comm.Isend(total[start:stop], rank, tag=tag)
                self._going.append(message)
        for request in (*self._going, *self._coming):  # MPI may work only while it is called
            request.Test()

    def _messages(self, span: Span, part: int, owned: slice) -> Iterator[tuple[int, int, int]]:
        """Yield tag and elements of each message of a part of a sum to the owner of a slice."""
        for elements in self.parts[part]:
            start, stop = max(elements.start, owned.start), min(elements.stop, owned.stop)
            if start < stop:
                yield span[0] * len(self.parts) + part, start, stop

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
        own = self._owners.own(parameters)
        tag = self._tree[1] * len(self.parts)  # which no sum has
        messages: list[Request] = []
        for rank in self._others:
            part = parameters[self._owners.elements(rank)]
            if part.size:
                messages.append(self._owners.ranks.comm.Irecv(part, rank, tag=tag))
            if own.size:
                messages.append(self._owners.ranks.comm.Isend(own, rank, tag=tag))
        _wait(messages)


def _rest(layers: list[slice], size: int) -> list[slice]:
    """What of so many elements is in none of some layers."""
    ordered = sorted((layer.start, layer.stop) for layer in layers)
    starts = [0, *(stop for _, stop in ordered)]
    stops = [*(start for start, _ in ordered), size]
    return [slice(*ends) for ends in zip(starts, stops, strict=True) if ends[0] < ends[1]]


def _wait(requests: list[Request]) -> None:
    """Wait for messages, and forget them."""
    for request in requests:
        request.Wait()
    requests.clear()
