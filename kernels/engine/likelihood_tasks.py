"""Tasks of likelihoods that take whole rows (`maths.row_likelihoods`), a few rows each.

They are compiled, each by itself, when a program that has them is built: no other network needs
them. B rows, I features.
"""

from dataclasses import dataclass

import numpy as np

from ..machine.compilation import kernel
from ..machine.kinds import Record, Word
from ..machine.memory import advance, put
from ..maths.activations import IDENTITY
from ..maths.lists import list_nonzero, list_size
from ..maths.row_likelihoods import (
    POISSON,
    Numbers,
    new_row_likelihood,
    row_inputs,
    row_likelihood,
    row_means,
)
from .dense_tasks import backward_bias, batch_row, panel_columns, target_of
from .splitting import TASK_ROWS


@dataclass(frozen=True, eq=False)
class RowLikelihood:
    """A likelihood of whole rows, for a network whose last layer says what it is.

    Attributes
    ----------
    blocks : ndarray of int64, shape (K, 4)
        The kinds of the columns, see `maths.row_likelihoods.blocks_of`.
    sigma_min : ndarray of float64, shape (1,)
        What sigma is, or is above where it is trained. Whoever owns it may change it between two
        runs.
    n_raws : int
        Raws of sigma: none, one, or one for each Gaussian column.
    raws_in_row : bool
        Whether the raws are the last outputs of the last layer, after the I of the features;
        else they are the biases of a layer without inputs, the last of the table.
    missing : bool
        Whether the data may have NaN, which is left out: for the encoder it is 0.
    activation : int
        Of the means of Gaussian columns, a code of `ACTIVATIONS`.
    """

    blocks: np.ndarray
    sigma_min: np.ndarray
    n_raws: int = 0
    raws_in_row: bool = False
    missing: bool = False
    activation: int = IDENTITY

    @property
    def observes(self) -> bool:
        """Whether the encoder takes other numbers than the likelihood: see `row_inputs`."""
        return self.missing or bool((self.blocks[:, 0] == POISSON).any())

    @property
    def has_raw_layer(self) -> bool:
        """Whether the table's last layer holds the raws."""
        return self.n_raws > 0 and not self.raws_in_row

    @property
    def record(self) -> np.void:
        """The record of ROW_LIKELIHOOD, for a region."""
        record: np.void = new_row_likelihood(
            self.blocks, self.n_raws, self.sigma_min, self.activation
        )[0]
        return record


@kernel
def row_likelihood_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """-log p(x | z) of rows, and its gradients, as the batch mean has them.

    Those with respect to the outputs take the outputs' place; those with respect to raws that
    stand in a layer of their own go to `delta`, row by row.
    """
    work = memory.work
    scale = step.reconstruction_weight / step.n_rows
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows * region.repeat)):
        output = advance(work, region.source.offset + b * region.source.stride)
        x = advance(work, region.data.offset + batch_row(b, region) * region.data.stride)
        raw, raw_slope = advance(output, region.n_out), advance(output, region.n_out)
        if region.parts == 1:
            raw = advance(memory.parameters, region.bias)
            raw_slope = advance(work, region.delta.offset + b * region.delta.stride)
        slopes, outputs = Numbers(output, raw_slope), Numbers(output, raw)
        put(memory.reconstruction, b, row_likelihood(slopes, outputs, x, region.likelihood, scale))


@kernel
def row_means_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """The mean of x given z, of rows of the last layer's outputs."""
    target = target_of(region, step, memory)
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows * region.repeat)):
        output = advance(memory.work, region.source.offset + b * region.source.stride)
        row_means(advance(target, b * region.target.stride), output, region.likelihood)


@kernel
def row_inputs_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Rows of the data as the encoder takes them; where zeros are skipped, what is not zero is
    listed, if the region lists them."""
    work = memory.work
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        x = advance(work, region.source.offset + b * region.source.stride)
        inputs = advance(work, region.target.offset + b * region.target.stride)
        row_inputs(inputs, x, region.likelihood)
        if step.skip_zeros != 0 and region.n_listed > 0:
            listed = advance(memory.by_row, b * list_size(region.n_in))
            values = advance(work, region.values.offset + b * region.values.stride)
            list_nonzero(listed, values, inputs, region.n_in)


@kernel
def bias_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """The gradient of a panel of biases of a layer without inputs, stored or applied."""
    dy = advance(memory.work, region.delta.offset + task * panel_columns(memory))
    backward_bias(task, dy, region, step, memory)
