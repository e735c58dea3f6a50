"""Blocks of rows that go through several regions of a program, one after another.

Up to the gradients of weights, rows do not need each other: a block of them stays in the cache of
the core that takes it from region to region, and threads meet once instead of after each. Tasks are
those that the regions have for themselves: p, q is part q of the rows of panel p.
"""

from ..machine.compilation import device_function
from ..machine.kinds import Record, Word
from .records import BACKWARD_INPUT, BACKWARD_LATENT, FORWARD, OUTPUT, ROWS, WEIGH
from .splitting import TASK_ROWS

SHARED_WEIGHTS = 2**15
"""Weights of a layer that are fetched sooner than members meet."""


@device_function
def goes_by_rows(region: Record, step: Record) -> Word:
    """Whether members take blocks of a region's rows, not some of its columns each.

    Then they need not wait for each other, and find what the region reads in their cache, but each
    reads all weights, most of which others have updated: where rows have more inputs than the layer
    weights.
    """
    if step.block_rows == 0 or region.n_tasks != 0:
        return False
    kind = region.kind
    n_rows = step.n_rows * region.repeat
    if kind == FORWARD or kind == OUTPUT:
        return region.n_in * region.n_out <= n_rows * region.n_in + SHARED_WEIGHTS
    if kind == BACKWARD_INPUT:
        return region.n_in * region.n_out <= n_rows * region.n_out + SHARED_WEIGHTS
    return kind <= BACKWARD_LATENT or kind == ROWS


@device_function
def n_blocks(step: Record) -> Word:
    """Blocks of a batch."""
    return (step.n_rows + step.block_rows - 1) // step.block_rows


@device_function
def _task_rows(region: Record, step: Record) -> Word:
    """Rows of a task, of those that the region has."""
    kind = region.kind
    if kind == FORWARD or kind == OUTPUT or kind == BACKWARD_INPUT:
        return step.block_rows
    return 1 if kind == WEIGH else TASK_ROWS


@device_function
def _repeat(region: Record) -> Word:
    """Rows that a region has for each row of the batch."""
    kind = region.kind
    return 1 if kind == WEIGH or kind == BACKWARD_LATENT else region.repeat


@device_function
def row_parts(region: Record, step: Record) -> Word:
    """Parts that a region's rows are split into."""
    size = _task_rows(region, step)
    return (step.n_rows * _repeat(region) + size - 1) // size


@device_function
def parts_of_block(region: Record, step: Record) -> Word:
    """How many of these parts are of one block of the batch."""
    return step.block_rows * _repeat(region) // _task_rows(region, step)
