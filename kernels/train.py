"""Training: a run of steps behind one call.

`train_steps` gathers a batch, draws the latent noise, runs forward and backward and updates
the parameters, step after step, by the rows of a program. Every architecture, activation,
likelihood and optimiser runs through this one compiled function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import device_function, kernel
from ._latent_tasks import KL, RECONSTRUCTION
from .optimizers import SCALE, step_rule
from .program import DRAW, KIND, OUTPUTS, X
from .random import STREAM_NOISE
from .regions import (
    FIRST_ROW,
    KL_SCALE,
    N_ROWS,
    OPTIMIZER,
    OUTPUT_SCALE,
    SKIP,
    STEP,
    STREAM,
    run_region,
)
from .simd import advance, get, pointer


@device_function
def _add_totals(
    totals: Any, sums: Any, work: Any, draw: Any, n_rows: Any, reconstruction_weight: Any,
    beta: Any,
) -> None:  # fmt: skip
    """Add a batch to the epoch's totals, in the order of its rows."""
    reconstruction = 0.0
    kl = 0.0
    n_latent = draw[OUTPUTS] // 2
    for b in range(n_rows):
        reconstruction += sums[RECONSTRUCTION, b]
        kl += sums[KL, b]
    for z in range(n_latent):
        mean = advance(pointer(work), draw[X] + z)
        total = totals[4 + z]
        square = totals[4 + n_latent + z]
        for b in range(n_rows):
            m = np.float64(get(mean, b * draw[X + 1]))
            total += m
            square += m * m
        totals[4 + z] = total
        totals[4 + n_latent + z] = square
    totals[0] += reconstruction_weight * reconstruction + beta * kl
    totals[1] += reconstruction
    totals[2] += kl
    totals[3] += n_rows


@device_function
def _all_finite(values: Any) -> Any:
    total = values[0] - values[0]
    for e in range(values.size):
        total += values[e] - values[e]
    return total == 0


@kernel
def train_steps(
    program, arena_rows, whole, real, parameters, moment1, moment2, gradient, work, columns,
    lists, sums, partial, order, first_step, n_steps, batch_size, optimizer, hyper,
    learning_rates, update, first_draw, reconstruction_weight, beta, clip_norm, totals,
):  # fmt: skip
    """Run steps first_step .. first_step + n_steps - 1 of a pass over `order`.

    Step s takes the rows order[s * batch_size : (s + 1) * batch_size] of the data. What is
    minimised is the batch mean of reconstruction_weight * reconstruction + beta * KL, the
    estimator of Kingma & Welling (2013), equation 10, with one draw per row.

    Parameters
    ----------
    program : ndarray of int64, shape (n_regions, COLUMNS)
        The regions of one batch (`Program.training`).
    arena_rows : ndarray of int64, shape (2, COLUMNS)
        The regions SQUARE_SUMS and UPDATE, for clipping.
    whole, real : ndarray
        Numbers of the step (`run_region`); the data's address and strides, the likelihood, the
        seed, SKIP and DRAWS are set by the caller.
    parameters, moment1, moment2, gradient, work, columns, lists, sums, partial, order
        As in `run_region`; `gradient` is written only where the gradient is stored.
    first_step, n_steps, batch_size : int
    optimizer : int
        A code of `OPTIMIZERS`; with -1 the gradient of each batch is stored, nothing updated.
    hyper : ndarray of float64, shape (4,)
    learning_rates : ndarray of float64, shape (n_steps,)
    update : int
        Updates done before with these moments; it sets Adam's bias correction.
    first_draw : int
        Number of the first batch's noise: (seed, STREAM_NOISE, first_draw + i).
    reconstruction_weight, beta : float
    clip_norm : float
        Largest norm of the whole gradient; 0 for no limit. With a limit the gradient is stored
        and applied in a separate pass.
    totals : ndarray of float64, shape (4 + 2 Z,)
        Added to: weighted loss, reconstruction, KL (sums over rows), rows, and the sums of the
        posterior mean and of its square.
    """
    # Skipping zeros would hide an infinite weight behind a zero pixel.
    if whole[SKIP] != 0 and not _all_finite(parameters):
        whole[SKIP] = 0
    whole[STREAM] = STREAM_NOISE
    clips = optimizer >= 0 and clip_norm > 0.0
    for s in range(n_steps):
        whole[FIRST_ROW] = (first_step + s) * batch_size
        n_rows = min(batch_size, len(order) - whole[FIRST_ROW])
        whole[N_ROWS] = n_rows
        whole[STEP] = first_draw + s
        whole[OPTIMIZER] = -1 if clips else optimizer
        real[OUTPUT_SCALE] = reconstruction_weight / n_rows
        real[KL_SCALE] = beta / n_rows
        if optimizer >= 0:
            step_rule(real, optimizer, hyper, learning_rates[s], update + s + 1, 1.0)
        for i in range(len(program)):
            run_region(
                program[i], whole, real, parameters, moment1, moment2, gradient, work, work,
                columns, lists, sums, partial, order,
            )  # fmt: skip
        if clips:
            run_region(
                arena_rows[0], whole, real, parameters, moment1, moment2, gradient, work, work,
                columns, lists, sums, partial, order,
            )  # fmt: skip
            norm = np.sqrt(_sum(partial))
            if norm > clip_norm:
                real[SCALE] = clip_norm / norm
            whole[OPTIMIZER] = optimizer
            run_region(
                arena_rows[1], whole, real, parameters, moment1, moment2, gradient, work, work,
                columns, lists, sums, partial, order,
            )  # fmt: skip
        for i in range(len(program)):
            if program[i, KIND] == DRAW:
                _add_totals(totals, sums, work, program[i], n_rows, reconstruction_weight, beta)


@device_function
def _sum(values: Any) -> Any:
    total = 0.0
    for e in range(values.size):
        total += values[e]
    return total
