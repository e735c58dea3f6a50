"""Workspace: the matrices that passes over a batch write to, allocated once per batch size."""

from __future__ import annotations

import numpy as np

from .gather import source_of
from .layout import LIKELIHOODS, N_IN, OFFSET, STRIDE, aligned_zeros, index_sizes, workspace_places
from .program import SQUARE_SUMS, UPDATE, Program, arena_row
from .regions import (
    ADDRESS,
    ARENA_BLOCK,
    LIKELIHOOD,
    N_ROWS,
    OPTIMIZER,
    REAL_SIZE,
    SEED,
    TASK_ADDRESS,
    WHOLE_SIZE,
    run_region,
    task_address,
)
from .threads import max_threads
from .train import train_steps


class Workspace:
    """Matrices, programs and step numbers for the passes over up to `n_rows` rows at a time."""

    def __init__(
        self, table: np.ndarray, n_encoder: int, likelihood: str, n_rows: int, dtype: np.dtype
    ) -> None:
        n_threads = max_threads()
        self.n_rows = n_rows
        self.places, size = workspace_places(table, n_encoder, n_rows, n_threads, dtype)
        self.matrices = aligned_zeros(size, dtype)
        columns, lists = index_sizes(int(table[:, N_IN].max()), n_rows)
        self.columns = np.zeros(columns, np.int32)
        self.lists = np.zeros(lists, np.int32)
        self.sums = np.zeros((2, n_rows))
        self.program = Program(table, n_encoder, self.places)
        self.whole = np.zeros(WHOLE_SIZE, np.int64)
        self.whole[LIKELIHOOD] = LIKELIHOODS[likelihood]
        self.whole[TASK_ADDRESS] = task_address(dtype)
        self.real = np.zeros(REAL_SIZE)
        self._arena_rows = np.array([arena_row(SQUARE_SUMS), arena_row(UPDATE)])
        self._training = self.program.training()

    def matrix(self, place: int, n_rows: int, n_columns: int) -> np.ndarray:
        """Return a view of a matrix as (n_rows, n_columns)."""
        offset, stride = int(self.places[place, OFFSET]), int(self.places[place, STRIDE])
        rows = self.matrices[offset : offset + n_rows * stride].reshape(n_rows, stride)
        return rows[:, :n_columns]

    def take(self, data: np.ndarray, seed: int = 0) -> None:
        """Set the data that rows are gathered from, and the seed of the noise."""
        self.whole[ADDRESS:] = source_of(data)
        self.whole[SEED] = np.uint64(seed).view(np.int64)

    def run(
        self, regions: np.ndarray, n_rows: int, parameters: np.ndarray, order: np.ndarray,
        out: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Run regions that update nothing over `n_rows` rows; forward passes write to `out`."""
        self.whole[N_ROWS] = n_rows
        self.whole[OPTIMIZER] = -1
        target = self.matrices if out is None else out
        for row in regions:
            run_region(
                row, self.whole, self.real, parameters, parameters, parameters, parameters,
                self.matrices, target, self.columns, self.lists, self.sums, self.sums[0], order,
            )  # fmt: skip

    def train(
        self, parameters: np.ndarray, moments: tuple[np.ndarray, np.ndarray],
        gradient: np.ndarray, order: np.ndarray, *numbers: object,
    ) -> None:  # fmt: skip
        """Run `train_steps` with this workspace; `numbers` are its arguments from first_step."""
        partial = np.zeros(-(-parameters.size // ARENA_BLOCK))
        train_steps(
            self._training, self._arena_rows, self.whole, self.real, parameters, *moments,
            gradient, self.matrices, self.columns, self.lists, self.sums, partial, order,
            *numbers,
        )  # fmt: skip
