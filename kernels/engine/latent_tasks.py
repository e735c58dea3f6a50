"""Tasks of the latent, between encoder and decoder. A task takes a few rows.

The head's row holds mean and log_var side by side: a layer of two parts. Any layer of two parts can
be drawn from. Of each row of the batch `repeat` latents are drawn, which stand one after another.
"""

from ..machine.compilation import device_function, kernel
from ..machine.kinds import Record, Word
from ..machine.memory import advance, get, put
from ..maths.latent import row_bounded, row_draw, row_draw_backward, row_kl, row_kl_backward
from ..maths.philox import normal_range
from .dense_tasks import batch_row, second_target, target_of
from .splitting import TASK_ROWS


@device_function
def draw_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """z = mean + exp(log_var / 2) noise for each row of the region, and the KL of each row that it
    was drawn from. The noise is drawn first, if the step says so."""
    work = memory.work
    n = region.n_out // region.parts
    first = task * TASK_ROWS
    last = min(first + TASK_ROWS, step.n_rows * region.repeat)
    noise = advance(work, region.noise.offset)
    if step.draws_noise != 0:
        start = step.element * region.repeat
        normal_range(
            advance(noise, -start), start + first * n, start + last * n, step.seed, step.stream,
            step.draw,
        )  # fmt: skip
    for b in range(first, last):
        row = batch_row(b, region)
        mean = advance(work, region.source.offset + row * region.source.stride)
        log_var = advance(mean, n)
        z = advance(work, region.target.offset + b * region.target.stride)
        row_draw(z, mean, log_var, advance(noise, b * n), n)
        if b == row * region.repeat:
            put(memory.kl, row, row_kl(mean, log_var, n))


@device_function
def backward_latent_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """Gradients of the head (mean, log_var) from those of all its draws, in their order, and from
    the KL, as the batch mean has it."""
    work = memory.work
    n = region.n_out // region.parts
    scale = step.beta / step.n_rows
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        mean = advance(work, region.source.offset + b * region.source.stride)
        dmean = advance(work, region.target.offset + b * region.target.stride)
        log_var, dlog_var = advance(mean, n), advance(dmean, n)
        for k in range(b * region.repeat, (b + 1) * region.repeat):
            dz = advance(work, region.delta.offset + k * region.delta.stride)
            noise = advance(work, region.noise.offset + k * n)
            row_draw_backward(dmean, dlog_var, dz, log_var, noise, n, k > b * region.repeat)
        row_kl_backward(dmean, dlog_var, mean, log_var, n, scale)


@kernel
def head_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Mean, and log_var within its bounds, of rows of the head, to the caller's two arrays.

    It is compiled when a pass that ends so is built.
    """
    n = region.n_out
    means, log_vars = target_of(region, step, memory), second_target(n, step, memory)
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, step.n_rows)):
        head = advance(memory.work, region.source.offset + b * region.source.stride)
        mean = advance(means, b * n)
        for z in range(n):
            put(mean, z, get(head, z))
        row_bounded(advance(log_vars, b * n), advance(head, n), n)
