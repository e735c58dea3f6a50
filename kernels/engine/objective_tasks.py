"""Tasks of objectives that draw several latents of each row, or leave each latent free bits.

They are compiled when a program that has them is built: the bound of one latent needs none of them.
What is known of the latents of a batch stands in one array of float64, `Region.sums`: for each row
its loss, the mean of its latents' reconstructions, and the share of each of its k latents. Free
bits have a matrix of two rows: each latent unit's gate (0 or 1) and its mean KL.
`maths.objectives` has the formulas.
"""

import numpy as np

from ..machine.compilation import device_function, kernel
from ..machine.kinds import Pointer, Record, Word
from ..machine.memory import (
    advance,
    cast,
    float64_at,
    get,
    lane_count,
    load,
    put,
    store,
    store_some,
)
from ..machine.vectors import constant, select, splat
from ..maths.importance import row_log_ratio
from ..maths.latent import row_draw_backward
from ..maths.objectives import (
    ELBO,
    column_kl,
    row_entropy_backward,
    row_free_kl_backward,
    row_latent_slope,
    row_tangent,
    row_weights,
)
from .loss_tasks import TOTALS_LATENTS, add_latents, add_losses
from .splitting import TASK_ROWS

LOSS, RECONSTRUCTION, SHARES = range(3)
"""Entries of a row: what it adds to the loss, the mean reconstruction, the first latent's share."""
FREE_LATENTS = 16
"""Latent units of one task of free bits."""


def new_shares(n_rows: int, n_samples: int) -> np.ndarray:
    """Return room for what is known of `n_samples` latents of each of `n_rows` rows."""
    return np.zeros((n_rows, SHARES + n_samples))


def n_free_tasks(n_latent: int) -> int:
    """Tasks of free bits."""
    return -(-n_latent // FREE_LATENTS)


@device_function
def _row_of(region: Record, row: Word) -> Pointer:
    """What is known of the latents of a row of the batch."""
    return advance(float64_at(region.sums), row * (SHARES + region.repeat))


@kernel
def shares_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """The shares of a row's latents, its loss, and its mean reconstruction.

    The region's source is the head, its hidden the latents.
    """
    work = memory.work
    k, n = region.repeat, region.n_out // region.parts
    known = _row_of(region, task)
    shares = advance(known, SHARES)
    mean = advance(work, region.source.offset + task * region.source.stride)
    log_var = advance(mean, n)
    total = 0.0
    for j in range(k):
        reconstruction = get(memory.reconstruction, task * k + j)
        total += reconstruction
        if region.mode == ELBO:
            put(shares, j, 1.0 / k)
        else:
            z = advance(work, region.hidden.offset + (task * k + j) * region.hidden.stride)
            noise = advance(work, region.noise.offset + (task * k + j) * n)
            ratio = row_log_ratio(known, z, log_var, noise, n)
            put(shares, j, ratio - step.reconstruction_weight * reconstruction)
    put(known, RECONSTRUCTION, total / k)
    if region.mode == ELBO:
        loss = step.reconstruction_weight * total / k + step.beta * get(memory.kl, task)
    else:
        loss = row_tangent(log_var, n) - row_weights(shares, k)
    put(known, LOSS, loss)


@kernel
def scale_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Multiply rows of a gradient, one for each latent, by the latent's share."""
    work = memory.work
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows * region.repeat)):
        row = b // region.repeat
        share = get(_row_of(region, row), SHARES + b - row * region.repeat)
        factor = splat(cast(work, share))
        slope = advance(work, region.target.offset + b * region.target.stride)
        for c in range(0, region.n_out, lane_count(slope)):  # rows are padded
            store(slope, c, load(slope, c) * factor)


@kernel
def bound_gradient_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """Gradients of the head from those of all its latents, by the bound of weighted latents."""
    work = memory.work
    k, n = region.repeat, region.n_out // region.parts
    scale = 1.0 / step.n_rows
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        log_var = advance(work, region.source.offset + b * region.source.stride + n)
        dmean = advance(work, region.target.offset + b * region.target.stride)
        dlog_var = advance(dmean, n)
        shares = advance(_row_of(region, b), SHARES)
        for j in range(k):
            at = b * k + j
            dz = advance(work, region.delta.offset + at * region.delta.stride)
            z = advance(work, region.hidden.offset + at * region.hidden.stride)
            noise = advance(work, region.noise.offset + at * n)
            row_latent_slope(dz, z, log_var, noise, n, get(shares, j), scale, region.mode)
            row_draw_backward(dmean, dlog_var, dz, log_var, noise, n, j > 0)
        row_entropy_backward(dlog_var, log_var, n, scale, region.mode)


@kernel
def free_bits_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """The mean KL over the batch of some latent units, and whether it is above the free bits.

    Kingma et al. (2016), "Improved Variational Inference with Inverse Autoregressive Flow",
    eq. 15, with one latent unit to a subset.
    """
    n = region.n_out // region.parts
    mean = advance(memory.work, region.source.offset)
    gates = advance(memory.work, region.target.offset)
    kls = advance(gates, region.target.stride)
    end = min(n, (task + 1) * FREE_LATENTS)
    for c in range(task * FREE_LATENTS, end, lane_count(mean)):
        left = end - c
        stride = region.source.stride
        kl = column_kl(advance(mean, c), advance(mean, n + c), step.n_rows, stride, left)
        store_some(kls, c, kl, left)
        zero = constant(kl, 0.0)
        gate = select(kl > constant(kl, step.free_bits), constant(kl, 1.0), zero)
        store_some(gates, c, gate, left)


@kernel
def free_gradient_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """As `backward_latent_task`, with the KL of those latent units alone whose gate is 1."""
    work = memory.work
    k, n = region.repeat, region.n_out // region.parts
    gates = advance(work, region.scratch.offset)
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        mean = advance(work, region.source.offset + b * region.source.stride)
        dmean = advance(work, region.target.offset + b * region.target.stride)
        log_var, dlog_var = advance(mean, n), advance(dmean, n)
        for j in range(b * k, (b + 1) * k):
            dz = advance(work, region.delta.offset + j * region.delta.stride)
            noise = advance(work, region.noise.offset + j * n)
            row_draw_backward(dmean, dlog_var, dz, log_var, noise, n, j > b * k)
        row_free_kl_backward(dmean, dlog_var, mean, log_var, gates, n, step.beta / step.n_rows)


@kernel
def bound_totals_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """As `totals_task`, of what is known of the rows' latents."""
    if task > 0:
        add_latents((task - 1) * TOTALS_LATENTS, region, step, memory)
        return
    loss, reconstruction, kl = 0.0, 0.0, 0.0
    for b in range(step.n_rows):
        known = _row_of(region, b)
        loss += get(known, LOSS)
        reconstruction += get(known, RECONSTRUCTION)
        kl += get(memory.kl, b)
    if step.free_bits > 0.0:
        kls = advance(memory.work, region.scratch.offset + region.scratch.stride)
        charged = 0.0
        for z in range(region.n_out // region.parts):
            charged += max(step.free_bits, np.float64(get(kls, z)))
        loss = step.reconstruction_weight * reconstruction + step.beta * step.n_rows * charged
    add_losses(step, memory, loss, reconstruction, kl)
