"""Tasks of the losses: of each row, and of the epoch."""

from typing import NamedTuple

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Pointer, Real, Record, Word
from ..machine.memory import advance, get, put
from ..maths.likelihoods import sum_groups
from .splitting import TASK_ROWS

LOSS_TOTAL, RECONSTRUCTION_TOTAL, KL_TOTAL, ROWS_TOTAL, MEANS_TOTAL = range(5)
"""Entries of `Memory.totals`: weighted loss, reconstruction and KL (sums over rows) and rows; from
the last on the sums of the posterior means, then those of their squares."""


TOTALS_LATENTS = 16
"""Latents of one task of the totals."""


class Totals(NamedTuple):
    """Sums over the rows of an epoch, read from `Memory.totals`."""

    loss: float
    reconstruction: float
    kl: float
    n_rows: float
    means: np.ndarray
    """Of each latent's posterior mean."""
    squares: np.ndarray
    """Of their squares."""


def new_totals(n_latent: int) -> np.ndarray:
    """Return the totals of an epoch, zeroed."""
    return np.zeros(MEANS_TOTAL + 2 * n_latent)


def read_totals(totals: np.ndarray) -> Totals:
    """Return the totals of an epoch by name."""
    n_latent = (len(totals) - MEANS_TOTAL) // 2
    means, squares = totals[MEANS_TOTAL : MEANS_TOTAL + n_latent], totals[-n_latent:]
    loss, reconstruction, kl, n_rows = totals[:MEANS_TOTAL].tolist()
    return Totals(loss, reconstruction, kl, n_rows, means, squares)


@device_function
def row_losses_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """Each row's reconstruction loss, from its sums over groups of 8 columns."""
    first = task * TASK_ROWS
    groups = memory.work
    stride = region.groups.stride
    for b in range(first, min(first + TASK_ROWS, step.n_rows * region.repeat)):
        row = advance(groups, region.groups.offset + b * stride)
        put(memory.reconstruction, b, sum_groups(row, stride))


@device_function
def totals_count(region: Record) -> Word:
    """Tasks of the totals: the losses, and some latents each."""
    return 1 + (region.n_out // region.parts + TOTALS_LATENTS - 1) // TOTALS_LATENTS


@device_function
def totals_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """Add a batch to the epoch's totals, in the order of its rows."""
    if task > 0:
        add_latents((task - 1) * TOTALS_LATENTS, region, step, memory)
        return
    reconstruction = 0.0
    kl = 0.0
    for b in range(step.n_rows):
        reconstruction += get(memory.reconstruction, b)
        kl += get(memory.kl, b)
    loss = step.reconstruction_weight * reconstruction + step.beta * kl
    add_losses(step, memory, loss, reconstruction, kl)


@device_function
def add_latents(first: Word, region: Record, step: Record, memory: Record) -> None:
    """Add the posterior means, and their squares, of TOTALS_LATENTS latents to the totals.

    Latents lie side by side, so that their chains of sums are worked on together.
    """
    n_latent = region.n_out // region.parts
    last = min(first + TOTALS_LATENTS, n_latent)
    for b in range(step.n_rows):
        mean = advance(memory.work, region.source.offset + b * region.source.stride)
        for z in range(first, last):
            m = np.float64(get(mean, z))
            _add(memory.totals, MEANS_TOTAL + z, m)
            _add(memory.totals, MEANS_TOTAL + n_latent + z, m * m)


@device_function
def add_losses(step: Record, memory: Record, loss: Real, reconstruction: Real, kl: Real) -> None:
    """Add a batch's sums over its rows to the epoch's totals."""
    _add(memory.totals, LOSS_TOTAL, loss)
    _add(memory.totals, RECONSTRUCTION_TOTAL, reconstruction)
    _add(memory.totals, KL_TOTAL, kl)
    _add(memory.totals, ROWS_TOTAL, np.float64(step.n_rows))


@device_function
def _add(totals: Pointer, entry: Word, value: Real) -> None:
    put(totals, entry, get(totals, entry) + value)
