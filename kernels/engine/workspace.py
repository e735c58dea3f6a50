"""Workspace: the matrices that passes over a batch write to, allocated once per batch size."""

from __future__ import annotations

import numpy as np

from ..machine.isa import panel_width
from ..machine.team import FAILED, new_team, yield_address
from ..machine.threads import get_num_threads, max_threads
from ..maths.likelihoods import LIKELIHOODS
from ..maths.philox import STREAM_NOISE
from .data_tasks import source_of
from .layout import N_IN, OFFSET, PANELS, STRIDE, aligned_zeros, list_sizes, workspace_places
from .passes import Program
from .regions import (
    ADDRESS,
    ELEMENT,
    LIKELIHOOD,
    REAL_SIZE,
    SEED,
    STREAM,
    TASK_ADDRESS,
    WHOLE_SIZE,
    YIELD_ADDRESS,
    task_address,
)
from .steps import member_address, run_steps

_NOTHING = np.zeros(0)


class Workspace:
    """Matrices, programs and step numbers for the passes over up to `n_rows` rows at a time."""

    def __init__(
        self, table: np.ndarray, n_encoder: int, likelihood: str, n_rows: int, dtype: np.dtype
    ) -> None:
        n_threads = max_threads()
        self.n_rows = n_rows
        self.places, size = workspace_places(table, n_encoder, n_rows, n_threads, dtype)
        self.matrices = aligned_zeros(size, dtype)
        by_row, by_column = list_sizes(int(table[0, N_IN]), n_rows)
        self.by_row = np.zeros(by_row, np.int32)
        self.by_column = np.zeros(by_column, np.int32)
        self.sums = np.zeros((2, n_rows))
        self.program = Program(table, n_encoder, self.places)
        self.whole = np.zeros(WHOLE_SIZE, np.int64)
        self._words = self.whole.data  # written to in a quarter of the time
        self._draws = np.zeros(1, np.int64)
        self.whole[LIKELIHOOD] = LIKELIHOODS[likelihood]
        self.whole[TASK_ADDRESS] = task_address(dtype)
        self.whole[YIELD_ADDRESS] = yield_address()
        self.real = np.zeros(REAL_SIZE)
        self._address = member_address(dtype)
        self._partial = np.zeros(int(table[:, PANELS].sum()) * panel_width(dtype.itemsize))
        self._data: np.ndarray | None = None

    def matrix(self, place: int, n_rows: int, n_columns: int) -> np.ndarray:
        """Return a view of a matrix as (n_rows, n_columns)."""
        offset, stride = int(self.places[place, OFFSET]), int(self.places[place, STRIDE])
        rows = self.matrices[offset : offset + n_rows * stride].reshape(n_rows, stride)
        return rows[:, :n_columns]

    def take(self, data: np.ndarray, seed: int = 0) -> None:
        """Set the data that rows are gathered from, kept until `release`, and the noise's seed."""
        words = self._words
        words[ADDRESS], words[ADDRESS + 1], words[ADDRESS + 2], words[ADDRESS + 3] = source_of(data)
        words[SEED] = seed if seed < 2**63 else seed - 2**64
        self._data = data

    def release(self) -> None:
        """Let go of the data."""
        self._data = None

    def run(
        self, program: np.ndarray, parameters: np.ndarray, order: np.ndarray, out: np.ndarray,
        first_step: int = 0, n_steps: int = 1, first_draw: int = 0,
    ) -> None:  # fmt: skip
        """Run a pass that updates nothing over batches of `order`; `out` is a flat array."""
        self._draws[0] = first_draw
        self._run(
            program, len(program), (parameters,) * 4, out, order, first_step, n_steps, self.n_rows,
            -1, _NOTHING, _NOTHING, 0, self._draws, 1.0, 1.0, 0.0, _NOTHING,
        )  # fmt: skip

    def train(
        self, parameters: np.ndarray, moments: tuple[np.ndarray, np.ndarray],
        gradient: np.ndarray, order: np.ndarray, *numbers: object,
    ) -> None:  # fmt: skip
        """Run steps of training; `numbers` are the arguments of `run_steps` from first_step on."""
        self.whole[STREAM] = STREAM_NOISE
        self.whole[ELEMENT] = 0
        arenas = parameters, *moments, gradient
        program = self.program.training
        n_regions = len(program) - self.program.n_clipping
        self._run(program, n_regions, arenas, self.matrices, order, *numbers)

    def _run(
        self, program: np.ndarray, n_regions: int, arenas: tuple[np.ndarray, ...],
        out: np.ndarray, order: np.ndarray, *numbers: object,
    ) -> None:  # fmt: skip
        if self._data is None:
            raise RuntimeError("a workspace runs on data that it was told to `take`; it has none")
        n_members = get_num_threads()
        team = new_team(n_members)
        run_steps(
            self._address, team, n_members, program, n_regions, self.whole,
            self.real, *arenas, self.matrices, out, self.by_row, self.by_column, self.sums,
            self._partial, order, *numbers,
        )  # fmt: skip
        if team[FAILED]:
            raise RuntimeError("a kernel failed; what it wrote is not to be used")
