"""How the updates of an epoch are done: on whole batches, or on blocks of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.data.labelled import Checked
from fastvae.distributed.blocks import Blocks
from fastvae.distributed.spread import Owners, Spread
from fastvae.distributed.steps import BlockSteps, sum_of_blocks
from fastvae.kernels import engine
from fastvae.training.trainable import Network

Moments = tuple[NDArray[Any], NDArray[Any]]


class Stepper(Protocol):
    """Who does the updates of a training."""

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Put the rows in a new order."""

    def train(self, run: engine.Training, moments: Moments, seed: int) -> None:
        """Run steps of training, which add to the run's totals."""


class WholeBatches:
    """Updates that go by each batch as a whole, in one process."""

    def __init__(self, network: Network, rows: Checked, skip_zeros: bool) -> None:
        self._network, self._rows, self._skip_zeros = network, rows, skip_zeros
        self._order = np.empty(len(rows), np.int64)

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Put the rows in a new order."""
        self._order = np.empty(len(self._rows), np.int64)
        kernels.permutation(self._order, seed, kernels.STREAM_ORDER, epoch)

    def train(self, run: engine.Training, moments: Moments, seed: int) -> None:
        """Run steps of training, see `model.network.Network.train`."""
        self._network.train(
            self._rows, self._order, run, moments=moments, seed=seed, skip_zeros=self._skip_zeros
        )


class Blockwise:
    """Updates that go by the sum over a batch's blocks, by one process or by several ranks."""

    def __init__(self, network: Network, steps: BlockSteps) -> None:
        self._network, self._steps = network, steps
        self.begin_epoch = steps.begin_epoch

    def train(self, run: engine.Training, moments: Moments, seed: int) -> None:
        """Run steps of training, after which all ranks know the totals of all blocks."""
        self._steps.train(run, moments, seed, self._network.flop_per_piece)
        self._steps.share_totals(run.totals)


def stepper_for(
    network: Network,
    rows: Checked,
    spread: Spread,
    blocks: Blocks,
    owners: Owners,
    *,
    batch_size: int,
    objective: engine.Objective,
    skip_zeros: bool,
) -> Stepper:
    """Who does the updates of a training on rows of this rank."""
    if spread.is_plain:
        return WholeBatches(network, rows, skip_zeros)
    steps = BlockSteps(
        network, rows, spread, blocks, owners,
        batch_size=batch_size, objective=objective, skip_zeros=skip_zeros,
    )  # fmt: skip
    return Blockwise(network, steps)


def read_totals(totals: NDArray[np.float64]) -> engine.Totals:
    """The totals of an epoch by name, of those of blocks where there are several."""
    return engine.read_totals(totals if totals.ndim == 1 else sum_of_blocks(totals))
