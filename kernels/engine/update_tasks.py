"""Tasks of a stored gradient: its norm, the limit on it, and the update of the parameters."""

import numpy as np

from ..machine.compilation import device_function
from ..machine.kinds import Record, Word
from ..machine.memory import advance, get, lane_count, load_converted, store
from ..machine.vectors import constant, fma
from ..maths.optimizers import update_span
from .dense_tasks import blocks, panel_columns

ARENA_BLOCK = 4096
"""Elements of an arena in one task of the update; a multiple of every vector width."""


@device_function
def square_sums_count(region: Record, width: Word) -> Word:
    """Tasks of the squares: a panel of outputs each."""
    return blocks(region.n_out, width)


@device_function
def square_sums_task(panel: Word, region: Record, memory: Record) -> None:
    """The sum of squares of each output's gradients, for a panel of a layer's outputs.

    One chain in float64 per output, over its inputs and then its bias, so that neither the panel's
    width nor where an output lies in the arena shows in the result. Pads are 0 and add nothing.
    """
    base = memory.gradient
    sums = memory.partial
    width = panel_columns(memory)
    weights = advance(base, region.weight + panel * region.n_in * width)
    biases = advance(base, region.bias + panel * width)
    for v in range(0, width, lane_count(sums)):
        g = load_converted(biases, v, sums)
        total = constant(g, 0.0)
        for i in range(region.n_in):
            g = load_converted(weights, i * width + v, sums)
            total = fma(g, g, total)
        g = load_converted(biases, v, sums)
        store(sums, (region.first_panel + panel) * width + v, fma(g, g, total))


@device_function
def clip_task(region: Record, step: Record, memory: Record) -> None:
    """Scale the gradient down to the largest norm, in the update that follows: one task."""
    total = 0.0
    for e in range(region.n_in):
        total += get(memory.partial, e)
    norm = np.sqrt(total)
    if norm > step.clip_norm:
        step.rule.scale = step.clip_norm / norm


@device_function
def update_count(region: Record) -> Word:
    """Tasks of the update: a block of the arena each."""
    return blocks(region.n_in, ARENA_BLOCK)


@device_function
def update_task(task: Word, region: Record, step: Record, memory: Record) -> None:
    """Apply a block of the stored gradient."""
    first = task * ARENA_BLOCK
    n = min(ARENA_BLOCK, region.n_in - first)
    update_span(advance(memory.gradient, first), first, n, step.rule, memory)
