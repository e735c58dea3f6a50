"""Slices of the arena: each has one owner, who applies the gradient to it and has its moments.

A slice is some panels that follow one another in the arena: of a layer's weights, which hold all
inputs of some outputs, or of its biases. So no output's weights are cut in two.
"""

from itertools import pairwise

import numpy as np

from ..machine.isa import panel_width
from ..maths.optimizers import rule_of
from .layout import arena_size
from .programs import new_program, new_region
from .records import CLIP, ROWS, SOURCE, UPDATE, Memory, new_schedule
from .regions import task_address
from .slice_tasks import add_totals_task, panel_squares_task
from .steps import member_address, run_program
from .workspace import Training, new_step

_NOTHING = np.zeros(0)
_NO_LIST = np.zeros(0, np.int32)


def panels(table: np.ndarray, dtype: np.dtype | type) -> tuple[np.ndarray, np.ndarray]:
    """Return where each panel of an arena starts, in its order, and how many rows it has.

    A layer's panels of weights, with a row for each input, come before those of its biases. Behind
    the starts stands the arena's size.
    """
    width = panel_width(np.dtype(dtype).itemsize)
    starts, heights = [], []
    for layer in table:
        numbers = np.arange(layer["panels"])
        for place, height in ((layer["weight"], layer["n_in"]), (layer["bias"], 1)):
            if height:
                starts.append(place + numbers * height * width)
                heights.append(np.full(len(numbers), height))
    return np.concatenate([*starts, [arena_size(table, dtype)]]), np.concatenate(heights)


def cut_panels(starts: np.ndarray, n_owners: int) -> np.ndarray:
    """Return the panels that slices of nearly equal sizes begin with, and at last their number.

    Where there are fewer panels than owners, some own nothing.
    """
    wanted = np.arange(1, n_owners) * (starts[-1] / n_owners)
    middles = (starts[:-1] + starts[1:]) / 2
    return np.concatenate([[0], np.searchsorted(middles, wanted), [len(starts) - 1]])


class Slice:
    """What the owner of the panels first_panel .. last_panel - 1 does with the gradient of them.

    Attributes
    ----------
    elements : slice
        Of the arena, that are owned.
    sums : slice
        Of `partial`, an entry for each column of each panel of the arena, that are owned.
    """

    def __init__(
        self, table: np.ndarray, dtype: np.dtype, first_panel: int, last_panel: int
    ) -> None:
        starts, heights = panels(table, dtype)
        width = panel_width(dtype.itemsize)
        self.elements = slice(int(starts[first_panel]), int(starts[last_panel]))
        self.sums = slice(first_panel * width, last_panel * width)
        self.partial = np.zeros((len(starts) - 1) * width)
        self._dtype, self._address = dtype, member_address(dtype)
        self._first_panel = first_panel
        self._starts = starts[first_panel:last_panel]
        self._heights = heights[first_panel:last_panel]
        self._squares: list[np.ndarray] | None = None

    @property
    def size(self) -> int:
        """Elements that are owned."""
        return self.elements.stop - self.elements.start

    def add_squares(self, gradient: np.ndarray) -> None:
        """Put the sums of the squares of the slice's gradient into `partial`."""
        if self.size == 0:
            return
        if self._squares is None:
            self._squares = self._regions_of_squares()
        arenas, draws = (gradient,) * 4, np.zeros(1, np.int64)
        steps, schedule = new_step(self._dtype), new_schedule(0, 0.0)
        self._run(self._squares, steps, arenas, schedule, draws, _NOTHING)

    def _regions_of_squares(self) -> list[np.ndarray]:
        """Panels of one height, one after another, are one region."""
        ends = [*(np.flatnonzero(np.diff(self._heights)) + 1), len(self._heights)]
        return [
            new_region(
                ROWS,
                task_address=task_address(self._dtype, panel_squares_task),
                n_tasks=end - first,
                n_in=self._heights[first],
                weight=self._starts[first] - self.elements.start,
                first_panel=self._first_panel + first,
            )
            for first, end in pairwise([0, *ends])
        ]

    def apply(
        self, parameters: np.ndarray, moments: tuple[np.ndarray, np.ndarray],
        gradient: np.ndarray, run: Training, added: np.ndarray,
    ) -> None:  # fmt: skip
        """Apply the slice's gradient to its parameters, all of `size` elements, in one step.

        Where the run has a `clip_norm`, `partial` must be complete. With the parameters change, in
        one call that nothing interrupts, the count of draws, and the run's totals by what is
        `added` to them.
        """
        if self.size == 0:
            np.add(run.totals, added, out=run.totals)
            run.draws[0] += 1
            return
        steps = new_step(self._dtype)
        steps["clip_norm"], steps["updates_before"] = run.clip_norm, run.updates_before
        steps["rule"] = rule_of(run.optimizer, run.hyper)
        clip = [new_region(CLIP, n_in=len(self.partial))] if run.clip_norm > 0.0 else []
        totals = new_region(
            ROWS,
            task_address=task_address(self._dtype, add_totals_task),
            n_tasks=1,
            n_in=added.size,
            sums=added.ctypes.data,
        )
        program = [*clip, new_region(UPDATE, n_in=self.size), totals]
        arenas = parameters, *moments, gradient
        self._run(program, steps, arenas, run.schedule, run.draws, run.totals.reshape(-1))

    def _run(
        self, program: list[np.ndarray], steps: np.ndarray, arenas: tuple[np.ndarray, ...],
        schedule: np.ndarray, draws: np.ndarray, totals: np.ndarray,
    ) -> None:  # fmt: skip
        steps["batch_size"] = 1
        parameters, moment1, moment2, gradient = arenas
        memory = Memory(
            parameters, moment1, moment2, gradient, parameters, parameters, _NO_LIST, _NO_LIST,
            _NOTHING, _NOTHING, self.partial, totals, schedule, draws,
            np.zeros(1, np.int64), np.zeros(0, SOURCE),
        )  # fmt: skip
        run_program(self._address, new_program(program), steps, memory)
