"""What a step takes on ranks: a model of arithmetic, latency and bandwidth, fitted to points.

A step of batch B in N blocks, of which a rank does n, takes it

    s + n k + (n B / N) r                  the gradients: a step, a block, a row
    + P / R (u + (m R - 1) a)              the own slice of P parameters: update, all ranks' sums
    + 2 l + (R - 1) (m + 1) o              messages: m sums to each rank, one round of all slices
    + (m + 1) (R - 1) / R P w / b          their bytes, w to a parameter

with latency l, overhead o of each message and bandwidth b of the network (Culler et al. 1993,
"LogP: Towards a Realistic Model of Parallel Computation"), m sums of whole subtrees of blocks on
each rank. Sums overlap with nothing, ranks of one machine share no memory, and no message waits for
others' on the way: the first makes it too slow, the others too fast.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fastvae.distributed.blocks import blocks_of
from fastvae.distributed.tree import subtrees

BYTES = 4
"""Of a parameter in float32."""
LARGEST_BATCH = 2**24


@dataclass(frozen=True)
class Network:
    """What carries messages between ranks.

    Attributes
    ----------
    latency : seconds that a message is on its way
    overhead : seconds that a rank is busy with each
    bandwidth : bytes a second, each way
    """

    name: str
    latency: float
    overhead: float
    bandwidth: float


@dataclass(frozen=True)
class Point:
    """What was measured: a step of one thread. `n_blocks` of 1 is training without blocks."""

    batch_size: int
    n_blocks: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a model's steps take one thread, in seconds.

    Attributes
    ----------
    plain_row : of training without blocks, with the batch that is best for it
    step, block, row : of training on blocks, all in one process
    add, update : of an element of the gradient
    """

    n_parameters: int
    plain_row: float
    step: float
    block: float
    row: float
    add: float
    update: float

    @classmethod
    def fitted(cls, n_parameters: int, points: Iterable[Point], add: float, update: float) -> Cost:
        """The cost of blocks that comes nearest to what was measured, by relative errors."""
        points = list(points)
        best = min(p.seconds / p.batch_size for p in points if p.n_blocks == 1)
        step, block, row = _fit(
            (p.seconds, 1, p.n_blocks, p.batch_size) for p in points if p.n_blocks > 1
        )
        return cls(n_parameters, best, step, block, row, add=add, update=update)

    def on_ranks(
        self, batch_size: int, n_ranks: int, n_blocks: int, network: Network, speed: float = 1.0
    ) -> float:
        """Seconds of a step on ranks, each of which computes `speed` times as fast as a thread."""
        own = -(-n_blocks // n_ranks)
        n_sums = max(
            len(subtrees(blocks_of(rank, n_ranks, n_blocks), (0, n_blocks)))
            for rank in range(min(n_ranks, n_blocks))
        )
        size, others = self.n_parameters, n_ranks - 1
        compute = (
            self.step
            - size * (1 - 1 / n_ranks) * self.update  # of one process, which updates all
            + own * self.block
            + own * (batch_size / n_blocks) * self.row
            + size / n_ranks * (n_sums * n_ranks - 1) * self.add
        )
        per_message = network.overhead + size / n_ranks * BYTES / network.bandwidth
        exchange = (2 * network.latency if others else 0) + others * (n_sums + 1) * per_message
        return compute / speed + exchange

    def efficiency(
        self, batch_size: int, n_ranks: int, network: Network, speed: float = 1.0
    ) -> float:
        """The speed of ranks, with few blocks, over as many times that of one at its best."""
        n_blocks = blocks_for(n_ranks)
        together = self.on_ranks(batch_size, n_ranks, n_blocks, network, speed)
        return batch_size * self.plain_row / speed / (n_ranks * together)

    def batch_for(
        self, efficiency: float, n_ranks: int, network: Network, speed: float = 1.0
    ) -> int | None:
        """The least power of two of rows by which ranks are so efficient; None up to 16 million."""
        batch_size = blocks_for(n_ranks)
        while batch_size <= LARGEST_BATCH:
            if self.efficiency(batch_size, n_ranks, network, speed) >= efficiency:
                return batch_size
            batch_size *= 2
        return None


def blocks_for(n_ranks: int) -> int:
    """Blocks for a power of two of ranks: as `fit` has them, or one for each rank."""
    return max(8, n_ranks)


def _fit(rows: Iterable[tuple[float, ...]]) -> list[float]:
    """Coefficients of what comes after the first number of each row, whose sum that is nearly."""
    values = np.array(list(rows))
    relative = values[:, 1:] / values[:, :1]
    solution, *_ = np.linalg.lstsq(relative, np.ones(len(values)), rcond=None)
    return [float(number) for number in solution]
