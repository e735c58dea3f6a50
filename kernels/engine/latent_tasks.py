"""Tasks of the latent, between encoder and decoder.

The head's row holds mean and log_var side by side. A task takes a few rows.
"""

from __future__ import annotations

from typing import Any

from ..machine.compilation import device_function
from ..machine.memory import advance, cast, lane_count, load_some, pointer, stack, store_some
from ..machine.vectors import fma, splat
from ..maths.latent import draw, draw_slope, kl_slope, row_kl
from ..maths.philox import normal_range
from .passes import AUX, EXTRA, OUTPUTS, X, Y

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
