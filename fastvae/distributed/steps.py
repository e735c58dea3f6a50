"""One step: the gradient of each own block, the sum over all, and the update of the own slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.data.labelled import Checked
from fastvae.distributed.blocks import Batch, Blocks
from fastvae.distributed.exchange import Exchange, Weighted, add
from fastvae.distributed.spread import Owners, Spread
from fastvae.distributed.tree import Span, fold, leaves, split
from fastvae.kernels import engine
from fastvae.kernels.maths.optimizers import NO_UPDATE

_NO_RATES = engine.new_schedule(0, 0.0)


class Network(Protocol):
    """What a step needs of a network."""

    n_latent: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters."""

    @property
    def parameters(self) -> NDArray[Any]:
        """All weights and biases."""

    @property
    def gate(self) -> Any:
        """Who reads parameters, and who changes them, takes turns."""

    @property
    def new_workspace(self) -> Callable[..., engine.Workspace]:
        """A workspace of one caller's own."""

    @property
    def hand_over(self) -> Callable[..., None]:
        """Set a workspace to work on rows, the first of which has a number."""

    def new_arena(self) -> NDArray[Any]:
        """Zeros laid out like the parameters."""


class BlockSteps:
    """Steps of training whose batches are made of blocks.

    Parameters
    ----------
    network : Network
    rows : ndarray or Labelled
        Those of this rank, whose blocks' parts they are.
    spread : Spread
    blocks : Blocks
        Of all rows.
    owners : Owners
    batch_size : int
        Rows of a batch of all ranks together.
    objective : engine.Objective
    skip_zeros : bool
    """

    def __init__(
        self,
        network: Network,
        rows: Checked,
        spread: Spread,
        blocks: Blocks,
        owners: Owners,
        *,
        batch_size: int,
        objective: engine.Objective,
        skip_zeros: bool,
    ) -> None:
        self._network, self._rows, self._spread = network, rows, spread
        self._blocks, self._owners, self._batch_size = blocks, owners, batch_size
        own = spread.own_blocks
        self._first_row = blocks.rows(own).start
        self._work = network.new_workspace(
            max(1, -(-batch_size // spread.n_blocks)),
            training=True, skip_zeros=skip_zeros, objective=objective,
        )  # fmt: skip
        self._batch_kl: engine.BatchKL | None = None
        if objective.free_bits > 0.0:
            self._batch_kl = engine.BatchKL(self._work, network.n_latent)
        self._free_bits = objective.free_bits
        layers = engine.large_layers(self._work.passes.gradient, network.dtype)
        self._exchange = Exchange(owners, spread.n_blocks, network.dtype, layers)
        self._flop_per_piece = np.inf
        self._arenas: list[NDArray[Any]] = []
        self._orders: dict[int, NDArray[np.int64]] = {}
        # What a step adds to the totals; it counts only where the step is done to its end.
        self._added = np.zeros((spread.n_blocks, len(engine.new_totals(network.n_latent))))

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Put the rows of each own part in a new order."""
        for block in self._spread.own_blocks:
            part = self._blocks.part(block)
            order = np.empty(len(part), np.int64)
            kernels.permutation(order, seed, kernels.STREAM_BLOCKS + block, epoch)
            order += part.start
            self._orders[block] = order

    def train(
        self,
        run: engine.Training,
        moments: tuple[NDArray[Any], NDArray[Any]],
        seed: int,
        flop_per_piece: float,
    ) -> None:
        """Run steps of training on the epoch's orders, as `model.network.Network.train` does.

        Parameters
        ----------
        run : engine.Training
            Its `totals` have a row for each block; those of other ranks' blocks stay.
        moments : pair of ndarray
            Of the own slice.
        seed : int
        flop_per_piece : float
            What one call does at most, so that Ctrl-C need not wait long.
        """
        self._flop_per_piece = flop_per_piece
        self._network.hand_over(self._rows, self._work, self._first_row)
        self._work.set(draws_noise=True, seed=seed)
        try:
            for step in map(run.step, range(run.n_steps)):
                first = step.first_step * self._batch_size
                last = min(first + self._batch_size, self._blocks.n_rows)
                self._step(step, self._blocks.batch(first, last), moments)
        finally:
            self._work.release()

    def _step(
        self,
        step: engine.Training,
        batch: Batch,
        moments: tuple[NDArray[Any], NDArray[Any]],
    ) -> None:
        """One update by a batch."""
        exchange, network = self._exchange, self._network
        self._added[:] = 0.0
        exchange.expect(batch)
        own: dict[Span, Weighted | None] = {}
        with network.gate.reading:
            if self._batch_kl is not None:
                self._find_batch_kl(self._batch_kl, step, batch)
            for span in exchange.own_spans:
                own[span] = self._sum(span, step, batch)
            total = exchange.total(own, batch)
        self._update(step, total, moments)
        exchange.finish()
        self._arenas += [found[0] for found in own.values() if found is not None]

    def _sum(self, root: Span, step: engine.Training, batch: Batch) -> Weighted | None:
        """The sum over a subtree of blocks, of which parts are sent as soon as they are there.

        All blocks before the last are added up first, to the sums that stand left of it in the
        tree. While the last one is computed, these are added to the layers that are done.
        """

        def gradient(span: Span) -> Weighted | None:
            if not batch.taken[span[0]]:
                return None
            arena = self._new_arena()
            for _ in self._gradient(arena, step, batch, span[0], by_layers=False):
                pass
            return arena, batch.weight(span[0])

        def merge(left: Weighted, right: Weighted) -> Weighted:
            self._arenas.append(right[0])  # free once it is added
            return add(left, right)

        before, span = [], root
        while span[1] - span[0] > 1:
            left, right = split(span)
            if batch.present(range(*right)):
                found = fold(left, leaves(left), gradient, merge)
                before += [] if found is None else [found]
                span = right
            else:
                span = left
        if not batch.taken[span[0]]:
            return None
        last = self._new_arena(), batch.weight(span[0])
        sums = [last, *reversed(before)]  # each is added to the next
        for part in self._gradient(last[0], step, batch, span[0], by_layers=True):
            for elements in self._exchange.parts[part]:
                total = _part(last, elements)
                for sum_before in sums[1:]:
                    total = add(_part(sum_before, elements), total)
            self._exchange.send(root, sums[-1][0], part)
        self._arenas += [arena for arena, _ in sums[:-1]]
        return sums[-1][0], 1.0 if before else last[1]

    def _new_arena(self) -> NDArray[Any]:
        """An array that is laid out like the parameters, to be written to."""
        return self._arenas.pop() if self._arenas else self._network.new_arena()

    def _gradient(
        self,
        arena: NDArray[Any],
        step: engine.Training,
        batch: Batch,
        block: int,
        *,
        by_layers: bool,
    ) -> Iterator[int]:
        """Write the gradient of the mean over a block, and note what it adds to the totals.

        Yields the numbers of the exchange's parts that are done: one by one, or all at the end.
        """
        run, order = self._block(step, batch, block)
        known = self._work if self._batch_kl is None else self._batch_kl
        program, n_rows = known.gradient(run), len(batch.taken[block])
        arenas = self._network.parameters, arena, arena, arena
        if by_layers and self._spread.ranks.size > 1:
            layers = engine.divide_by_layers(program, n_rows, self._flop_per_piece)
        else:
            layers = [engine.divide(program, n_rows, self._flop_per_piece)]
        parts = iter(range(len(self._exchange.parts)))
        for pieces in layers:
            for piece in pieces:
                self._work.train(arenas, order, run, piece)
            yield next(parts)
        yield from parts

    def _block(
        self, step: engine.Training, batch: Batch, block: int
    ) -> tuple[engine.Training, NDArray[np.int64]]:
        """A run that stores the gradient of one block, and the rows of the block."""
        taken = batch.taken[block]
        run = replace(
            step, optimizer=NO_UPDATE, batch_size=len(taken), first_step=0, schedule=_NO_RATES,
            beta=float(step.schedule["beta"][0]), totals=self._added[block],
            draws=step.draws.copy(), first_place=batch.place(block), clip_norm=0.0,
        )  # fmt: skip
        return run, self._orders[block][taken.start : taken.stop]

    def _find_batch_kl(self, batch_kl: engine.BatchKL, step: engine.Training, batch: Batch) -> None:
        """Let the gradients of a batch go by the mean KL of all its blocks."""
        found = np.zeros((self._spread.n_blocks, self._network.n_latent))
        arenas = (self._network.parameters,) * 4
        for block in batch.present(self._spread.own_blocks):
            run, order = self._block(step, batch, block)
            found[block] = batch.weight(block) * batch_kl.of_block(arenas, order, run)
        self._owners.ranks.complete(found, self._spread.block_ends)
        batch_kl.set(sum_of_blocks(found), self._free_bits)

    def _update(
        self,
        step: engine.Training,
        gradient: NDArray[Any],
        moments: tuple[NDArray[Any], NDArray[Any]],
    ) -> None:
        """Update the own slice, count this and its losses, and take over the others' slices."""
        owners, network = self._owners, self._network
        if step.clip_norm > 0.0:
            owners.slice.add_squares(gradient)
            owners.ranks.complete(owners.slice.partial, owners.sum_ends)
        with network.gate.writing:
            parameters = owners.own(network.parameters)
            owners.slice.apply(parameters, moments, gradient, step, self._added)
            self._exchange.share(network.parameters)

    def share_totals(self, totals: NDArray[np.float64]) -> None:
        """Let all ranks have the totals of all blocks."""
        self._owners.ranks.complete(totals, self._spread.block_ends)


def _part(weighted: Weighted, elements: slice) -> Weighted:
    """Some elements of an array that counts for something."""
    return weighted[0][elements], weighted[1]


def sum_of_blocks(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over blocks, of which each has a row."""
    tree = (0, len(totals))
    total = fold(tree, leaves(tree), lambda span: totals[span[0]], np.add)
    assert total is not None
    return total
