"""Tasks of the latent, between encoder and decoder, and the rows' losses.

The head's row holds mean and log_var side by side. A task takes a few rows.
"""

from __future__ import annotations

from typing import Any

from ._jit import device_function
from .latent import draw, draw_slope, kl_slope, load_some, row_kl, store_some
from .losses import sum_groups
from .memory import advance, cast, lane_count, pointer, stack
from .program import AUX, EXTRA, OUTPUTS, X, Y
from .random import normal_range
from .simd import fma, splat

TASK_ROWS = 8
"""Rows of one task."""

# Rows of `sums`, the float64 sums per sample of one batch.
RECONSTRUCTION, KL = range(2)


@device_function
def draw_task(
    task: Any, row: Any, n_rows: Any, work: Any, sums: Any, draws: Any, seed: Any, stream: Any,
    step: Any, element: Any,
) -> None:  # fmt: skip
    """z = mean + exp(log_var / 2) noise, and each row's KL into `sums`.

    With `draws`, the noise is drawn first: (seed, stream, step), from `element` on.
    """
    base = pointer(work)
    buffer = stack(base, 48)
    n = row[OUTPUTS] // 2
    first = task * TASK_ROWS
    last = min(first + TASK_ROWS, n_rows)
    noise = advance(base, row[AUX])
    if draws:
        numbered = advance(noise, -element)
        normal_range(numbered, element + first * n, element + last * n, seed, stream, step)
    for b in range(first, last):
        mean = advance(base, row[X] + b * row[X + 1])
        log_var = advance(mean, n)
        z = advance(base, row[Y] + b * row[Y + 1])
        for c in range(0, n, lane_count(base)):
            m = load_some(mean, c, n - c, buffer)
            v = load_some(log_var, c, n - c, buffer)
            e = load_some(noise, b * n + c, n - c, buffer)
            store_some(z, c, draw(m, v, e), n - c, buffer)
        sums[KL, b] = row_kl(mean, log_var, n, buffer)


@device_function
def backward_latent_task(task: Any, row: Any, n_rows: Any, work: Any, scale: Any) -> None:
    """Gradients of the head (mean, log_var) from dz and from scale * KL."""
    base = pointer(work)
    buffer = stack(base, 16)
    n = row[OUTPUTS] // 2
    factor = splat(cast(base, scale))
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, n_rows)):
        head = advance(base, row[X] + b * row[X + 1])
        delta = advance(base, row[Y] + b * row[Y + 1])
        for c in range(0, n, lane_count(base)):
            m = load_some(head, c, n - c, buffer)
            v = load_some(head, n + c, n - c, buffer)
            e = load_some(base, row[AUX] + b * n + c, n - c, buffer)
            dz = load_some(base, row[EXTRA] + b * row[EXTRA + 1] + c, n - c, buffer)
            store_some(delta, c, fma(factor, m, dz), n - c, buffer)
            dv = fma(factor, kl_slope(v), dz * draw_slope(v, e))
            store_some(delta, n + c, dv, n - c, buffer)


@device_function
def row_losses_task(task: Any, row: Any, n_rows: Any, work: Any, sums: Any) -> None:
    """Each row's reconstruction loss, from its sums over groups of 8 columns, into `sums`."""
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, n_rows)):
        groups = advance(pointer(work), row[EXTRA] + b * row[EXTRA + 1])
        sums[RECONSTRUCTION, b] = sum_groups(groups, row[EXTRA + 1])
