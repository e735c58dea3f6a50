"""Tasks that gather rows and make them binary: each value becomes 1 or 0, see `maths.binary`.

They are code of their own, compiled when a program that needs them is built. Zeros are listed after
the draw, so that those are left out that were drawn. B rows, I columns.
"""

import numpy as np

from ..machine.compilation import device_function, kernel
from ..machine.kinds import Pointer, Record, Word
from ..machine.memory import get, int64_at
from ..maths.binary import DYNAMIC, THRESHOLD, draw_row, threshold_row
from ..maths.philox import STREAM_BINARY_FIXED, STREAM_BINARY_ROWS, STREAM_BINARY_VISITS
from .data_tasks import gather_row, list_row, prefetch_next, task_rows


@kernel
def run_binary_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """As `gather_task`, with the rows made binary."""
    first, last = task_rows(task, step)
    prefetch_next(last, region, step, memory)
    for b in range(first, last):
        place = gather_row(b, region, step, memory)
        _binarize(place, b, region, step, memory)
        list_row(place, b, region, step, memory)


@device_function
def _binarize(place: Pointer, b: Word, region: Record, step: Record, memory: Record) -> None:
    """Make row b binary.

    Draws are a function of the seed, the step's draw and the row's place in the batch; or, where
    rows have keys or the draw is fixed, of the row's key, else its number, and the column.
    """
    n = region.n_in
    if region.mode == THRESHOLD:
        threshold_row(place, n)
        return
    element = np.int64(0)
    seed, stream = step.seed, np.uint64(STREAM_BINARY_ROWS)
    row = get(memory.order, step.first_row + b)
    key = np.uint64(row)
    if region.row_keys != 0:
        key = np.uint64(get(int64_at(region.row_keys), row))
    if region.mode != DYNAMIC:
        seed, stream = np.uint64(0), np.uint64(STREAM_BINARY_FIXED)
    elif region.row_keys == 0:
        element, key = (step.first_place + b) * n, step.draw
        stream = np.uint64(STREAM_BINARY_VISITS)
    draw_row(place, n, element, seed, stream, key)
