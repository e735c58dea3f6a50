"""Tasks of conditional models: what stands behind the latents that a decoder reads.

They are compiled when a program that has them is built: no other network needs them.
"""

from ..machine.compilation import kernel
from ..machine.kinds import Record, Word
from ..machine.memory import advance, get, put
from .dense_tasks import batch_row
from .latent_tasks import TASK_ROWS


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
