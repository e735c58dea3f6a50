"""Tasks of the owner of a slice of the arena, which has no more of the gradient than that slice."""

from ..machine.compilation import kernel
from ..machine.kinds import Record, Word
from ..machine.memory import advance, float64_at, get, lane_count, load_converted, put, store
from ..machine.vectors import constant, fma
from .dense_tasks import panel_columns


@kernel
def panel_squares_task(
    task: Word, region: Record, step: Record, memory: Record, thread: Word
) -> None:
    """The sum of squares of each column of a panel: of an output's weights, or of its bias.

    One chain in float64 for each over the panel's `n_in` rows, so that neither the panel's width
    nor where it lies shows in the result.
    """
    sums = memory.partial
    width = panel_columns(memory)
    values = advance(memory.gradient, region.weight + task * region.n_in * width)
    for v in range(0, width, lane_count(sums)):
        total = constant(load_converted(values, v, sums), 0.0)
        for i in range(region.n_in):
            g = load_converted(values, i * width + v, sums)
            total = fma(g, g, total)
        store(sums, (region.first_panel + task) * width + v, total)


@kernel
def add_totals_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Add `n_in` numbers of float64, which stand at `sums`, to the totals: one task."""
    added = float64_at(region.sums)
    for e in range(region.n_in):
        put(memory.totals, e, get(memory.totals, e) + get(added, e))
