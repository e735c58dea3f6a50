"""Free bits of a batch that is done in blocks: they go by its mean KL, which no block knows.

So each block is encoded first, for its own mean KL of each latent unit. Of these the mean over the
batch is made elsewhere, and set before the block's gradient is computed, which encodes it again.
Letters: Z latents.
"""

import numpy as np

from .layout import GATES
from .objective_tasks import free_bits_task
from .pieces import Piece
from .regions import task_address
from .workspace import Training, Workspace


class BatchKL:
    """The mean KL of each latent unit over a batch, where a workspace is given a block of it.

    Parameters
    ----------
    work : Workspace
        Of an objective with free bits.
    n_latent : int
        Z.
    """

    def __init__(self, work: Workspace, n_latent: int) -> None:
        self._work = work
        self._of_units = work.matrix(GATES, 2, n_latent)

    def of_block(
        self, arenas: tuple[np.ndarray, ...], order: np.ndarray, run: Training
    ) -> np.ndarray:
        """Return the mean over the rows of a block, float64 of shape (Z,)."""
        passes = self._work.passes.binarizing(run.binarization)
        i = self._place(passes.gradient)
        program = np.concatenate([passes.encoding, passes.gradient[i : i + 1]])
        self._work.train(arenas, order, run, Piece(program, is_last=False))
        return self._of_units[1].astype(np.float64)

    def set(self, means: np.ndarray, free_bits: float) -> None:
        """Let the gradients that follow go by the means over the batch, shape (Z,)."""
        gates, kls = self._of_units
        kls[:] = means
        gates[:] = kls > free_bits

    def gradient(self, run: Training) -> np.ndarray:
        """Return the program that stores a block's gradient (see `Workspace.gradient`)."""
        program = self._work.gradient(run)
        return np.delete(program, self._place(program))

    def _place(self, program: np.ndarray) -> int:
        """Which region of a program finds the means."""
        address = task_address(self._work.matrices.dtype, free_bits_task)
        return int(np.flatnonzero(program["task_address"] == address)[0])
