"""Steps: a run of passes over batches behind one call.

A step takes a batch through the rows of a program: gather, forward, and in training the latent
noise, backward and the update of the parameters. Every architecture, activation, likelihood,
optimiser and pass runs through this one compiled function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange, types

from ..machine.compilation import address_of, device_function, kernel, parallel_kernel
from ..machine.memory import advance, cast, get, lane_count, load, pointer, stack, store
from ..machine.subnormals import flush_subnormals, restore_mode
from ..machine.team import (
    ARRIVED,
    FAILED,
    FINISHED,
    call_at,
    has_tasks,
    shared_add,
    shared_get,
    shared_set,
    wait,
)
from ..machine.vectors import constant
from ..maths.optimizers import SCALE, step_rule
from .latent_tasks import KL, RECONSTRUCTION
from .passes import DRAW, FIRST_LAYER, KIND, OUTPUTS, X
from .regions import (
    FIRST_ROW,
    KL_SCALE,
    N_ROWS,
    OPTIMIZER,
    OUTPUT_SCALE,
    SKIP,
    STEP,
    YIELD_ADDRESS,
    array_types,
    run_region,
    work_off,
)

# Entries of the totals; the sums of the posterior means follow, then those of their squares.
LOSS_TOTAL, RECONSTRUCTION_TOTAL, KL_TOTAL, ROWS_TOTAL, MEANS_TOTAL = range(5)


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
    # Latents lie side by side, so that their chains of sums are worked on together.
    for b in range(n_rows):
        mean = advance(pointer(work), draw[X] + b * draw[X + 1])
        for z in range(n_latent):
            m = np.float64(get(mean, z))
            totals[MEANS_TOTAL + z] += m
            totals[MEANS_TOTAL + n_latent + z] += m * m
    totals[LOSS_TOTAL] += reconstruction_weight * reconstruction + beta * kl
    totals[RECONSTRUCTION_TOTAL] += reconstruction
    totals[KL_TOTAL] += kl
    totals[ROWS_TOTAL] += n_rows


@device_function
def _reads_data(program: Any) -> Any:
    """Whether a region works on the data, whose zeros it may leave out."""
    n_reading = 0
    for i in range(len(program)):
        n_reading += program[i, FIRST_LAYER]
    return n_reading > 0


@device_function
def _all_finite(values: Any) -> Any:
    base = pointer(values)
    count = lane_count(base)
    lanes = stack(base, 16)
    total = constant(load(base, 0), 0.0)
    for e in range(0, values.size, count):  # an arena is whole cache lines
        value = load(base, e)
        total = total + (value - value)
    store(lanes, 0, total)
    rest = cast(base, 0.0)
    for j in range(count):
        rest += get(lanes, j)
    return rest == 0


@device_function
def _sum(values: Any) -> Any:
    total = 0.0
    for e in range(values.size):
        total += values[e]
    return total


@device_function
def _follow(team: Any, n_members: Any, program: Any, arrays: Any, member: Any) -> None:
    spins = 0
    while shared_get(team, FINISHED) == 0:
        if has_tasks(team, member):
            work_off(team, program, arrays, member, n_members)
            spins = 0
        else:
            spins = wait(spins, arrays[0][YIELD_ADDRESS])


@device_function
def _lead(
    team: Any, n_members: Any, program: Any, n_regions: Any, arrays: Any, first_step: Any,
    n_steps: Any, batch_size: Any, optimizer: Any, hyper: Any, learning_rates: Any, update: Any,
    draws: Any, reconstruction_weight: Any, beta: Any, clip_norm: Any, totals: Any,
) -> None:  # fmt: skip
    whole, real, parameters, _, _, _, work, _, _, _, sums, partial, order = arrays
    # Skipping zeros would hide an infinite weight behind a zero pixel.
    if whole[SKIP] != 0 and _reads_data(program) and not _all_finite(parameters):
        whole[SKIP] = 0
    clips = optimizer >= 0 and clip_norm > 0.0
    last = len(program) - 1 if clips else n_regions - 1
    for s in range(n_steps):
        whole[FIRST_ROW] = (first_step + s) * batch_size
        n_rows = min(batch_size, len(order) - whole[FIRST_ROW])
        whole[N_ROWS] = n_rows
        whole[STEP] = draws[0]
        whole[OPTIMIZER] = -1 if clips else optimizer
        real[OUTPUT_SCALE] = reconstruction_weight / n_rows
        real[KL_SCALE] = beta / n_rows
        if optimizer >= 0:
            step_rule(real, optimizer, hyper, learning_rates[s], update + s + 1, 1.0)
        for i in range(last + 1):
            if clips and i == last:  # between the gradient's norm and the update
                norm = np.sqrt(_sum(partial))
                if norm > clip_norm:
                    real[SCALE] = clip_norm / norm
                whole[OPTIMIZER] = optimizer
            run_region(team, program, i, arrays, n_members)
        if shared_get(team, FAILED) != 0:
            return
        draws[0] += 1
        if totals.size > 0:
            for i in range(n_regions):
                if program[i, KIND] == DRAW:
                    _add_totals(totals, sums, work, program[i], n_rows, reconstruction_weight, beta)
            if not np.isfinite(totals[LOSS_TOTAL]):
                return


@kernel
def run_member(
    team, n_members, program, n_regions, whole, real, parameters, moment1, moment2, gradient, work,
    out, by_row, by_column, sums, partial, order, first_step, n_steps, batch_size, optimizer, hyper,
    learning_rates, update, draws, reconstruction_weight, beta, clip_norm, totals,
):  # fmt: skip
    """One member's part of `run_steps`: to lead, if it is the first to arrive, or to follow."""
    arrays = (
        whole, real, parameters, moment1, moment2, gradient, work, out, by_row, by_column, sums,
        partial, order,
    )  # fmt: skip
    member = shared_add(team, ARRIVED, 1)
    if member == 0:
        _lead(
            team, n_members, program, n_regions, arrays, first_step, n_steps, batch_size,
            optimizer, hyper, learning_rates, update, draws, reconstruction_weight, beta,
            clip_norm, totals,
        )  # fmt: skip
        shared_set(team, FINISHED, 1)
    else:
        _follow(team, n_members, program, arrays, member)


def member_address(dtype: np.dtype | type) -> int:
    """Compile `run_member` for arenas of this dtype, if need be, and return its address."""
    word, real = types.int64, types.float64
    words, reals = types.Array(word, 1, "C"), types.Array(real, 1, "C")
    table = types.Array(word, 2, "C")
    numbers = (word, word, word, word, reals, reals, word, words, real, real, real, reals)
    return address_of(run_member, (words, word, table, word, *array_types(dtype), *numbers))


@parallel_kernel
def run_steps(address, team, n_members, *job):
    """Run steps first_step .. first_step + n_steps - 1 of a pass over `order`.

    Step s takes the rows order[s * batch_size : (s + 1) * batch_size] of the data. What is
    minimised is the batch mean of reconstruction_weight * reconstruction + beta * KL, the
    estimator of Kingma & Welling (2013), equation 10, with one draw per row.

    Parameters
    ----------
    address : int
        `member_address` of the arenas' dtype.
    team : ndarray of int64
        A new team (`new_team`) of n_members.
    n_members : int
        Threads that take part.
    program : ndarray of int64, shape (n, COLUMNS)
        The regions of one batch; for training, SQUARE_SUMS of each layer and UPDATE after them.
    n_regions : int
        How many rows a batch takes where the gradient's norm is not limited.
    whole : ndarray of int64, shape (WHOLE_SIZE,)
    real : ndarray of float64, shape (REAL_SIZE,)
        Numbers of the step. The addresses, the data's strides, the likelihood, the seed and
        stream of the noise, SKIP, DRAWS and ELEMENT are set by the caller.
    parameters, moment1, moment2, gradient : ndarray
        Arenas of one layout; `gradient` is written only where the gradient is stored.
    work : ndarray
        The workspace.
    out : ndarray
        What rows with TO_OUT write to, at the row of `order` that the batch starts at.
    by_row, by_column : ndarray of int32
        Lists of each row's non-zero columns, and of each column's non-zero rows (`_lists`).
    sums : ndarray of float64, shape (2, B)
        Reconstruction and KL per row of the last batch.
    partial : ndarray of float64
        Sums of the gradient's squares, an entry per output of each layer.
    order : ndarray of int64
        Rows of the data.
    first_step, n_steps, batch_size : int
    optimizer : int
        A code of `OPTIMIZERS`; with -1 the gradient of each batch is stored, nothing updated.
    hyper : ndarray of float64, shape (4,)
    learning_rates : ndarray of float64, shape (n_steps,)
    update : int
        Updates done before with these moments; it sets Adam's bias correction.
    draws : ndarray of int64, shape (1,)
        Number of the next batch's noise: (seed, stream, draws[0]). Each finished step adds 1, so
        that it counts what was done wherever a run of steps ends.
    reconstruction_weight, beta : float
    clip_norm : float
        Largest norm of the whole gradient; 0 for no limit. With a limit the gradient is stored
        and applied in a separate pass.
    totals : ndarray of float64, shape (4 + 2 Z,) or (0,)
        Added to, unless empty: weighted loss, reconstruction, KL (sums over rows), rows, and the
        sums of the posterior mean and of its square. The run ends after the step that makes the
        loss infinite or NaN.
    """
    for _ in prange(n_members):
        mode = flush_subnormals()
        if call_at(address, (team, n_members, *job)) != 0:
            # Nobody may wait for what will not be done.
            shared_set(team, FAILED, 1)
            shared_set(team, FINISHED, 1)
        restore_mode(mode)
