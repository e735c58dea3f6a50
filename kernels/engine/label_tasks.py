"""Tasks of conditional networks, whose decoder reads latents and behind them the label.

They are compiled when a program that has them is built: no other network needs them.

Where the prior goes by the class, p(z | y) = N(m, exp(s)) with m and s those of class y, all work
on latents is done on the scale of the prior: the head says the posterior of
u = exp(-s / 2) (z - m), whose prior is N(0, I). The KL divergence and the ratio of densities are
the same for u and z, so that every bound is computed as without classes; only what the decoder
reads is z. So does Vahdat & Kautz (2020), "NVAE", section 3.2, where it trains best.
"""

from ..machine.compilation import kernel
from ..machine.kinds import Record, Word
from ..machine.memory import advance, get, put
from ..maths.latent import row_draw, row_draw_backward, row_log_var_of, row_scale
from .dense_tasks import batch_row, second_target, target_of
from .splitting import TASK_ROWS


@kernel
def columns_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Copy n_in columns of each row of the batch to the region's rows that are of it."""
    work = memory.work
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows * region.repeat)):
        row = batch_row(b, region)
        given = advance(work, region.source.offset + row * region.source.stride)
        copy = advance(work, region.target.offset + b * region.target.stride)
        for c in range(region.n_in):
            put(copy, c, get(given, c))


@kernel
def place_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """z = m + exp(s / 2) u of each row of the region; `hidden` has m and s."""
    work = memory.work
    n = region.n_in
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows * region.repeat)):
        row = batch_row(b, region)
        mean = advance(work, region.hidden.offset + row * region.hidden.stride)
        u = advance(work, region.source.offset + b * region.source.stride)
        z = advance(work, region.target.offset + b * region.target.stride)
        row_draw(z, mean, advance(mean, n), u, n)


@kernel
def posterior_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """The posterior of z, of that of u which the head says: m + exp(s / 2) mean, s + log_var."""
    work = memory.work
    n = region.n_in
    means, log_vars = target_of(region, step, memory), second_target(n, step, memory)
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        prior = advance(work, region.hidden.offset + b * region.hidden.stride)
        head = advance(work, region.source.offset + b * region.source.stride)
        row_draw(advance(means, b * n), prior, advance(prior, n), head, n)
        row_log_var_of(advance(log_vars, b * n), advance(head, n), advance(prior, n), n)


@kernel
def prior_gradient_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """Gradients of m and s from those of all latents of a row, dz, which become du."""
    work = memory.work
    n = region.n_in
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        log_var = advance(work, region.source.offset + b * region.source.stride + n)
        dmean = advance(work, region.target.offset + b * region.target.stride)
        for k in range(b * region.repeat, (b + 1) * region.repeat):
            u = advance(work, region.hidden.offset + k * region.hidden.stride)
            dz = advance(work, region.delta.offset + k * region.delta.stride)
            row_draw_backward(dmean, advance(dmean, n), dz, log_var, u, n, k > b * region.repeat)
            row_scale(dz, log_var, n)
