"""Workspace: the matrices that passes over a batch write to, allocated once per batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..machine.isa import panel_width
from ..machine.team import yield_address
from ..machine.threads import max_threads, team_size
from ..maths.likelihoods import LIKELIHOODS
from ..maths.optimizers import NO_UPDATE, rule_of
from ..maths.philox import STREAM_NOISE
from .bounds import PLAIN, Bound, Objective
from .data_tasks import LABELS, array_source
from .layout import (
    ACTIVE,
    Architecture,
    aligned_zeros,
    n_listed,
    n_partial_sums,
    workspace_places,
)
from .likelihood_tasks import RowLikelihood
from .passes import Passes
from .pieces import Piece, divide
from .records import SOURCE, STEP, Memory, new_schedule
from .regions import count_tasks, task_address
from .splitting import block_rows
from .steps import member_address, run_program

_TOUCHED = 2**24
"""Elements that are touched at once."""
_PAGE = 4096
_NOTHING = np.zeros(0)
_NO_SCHEDULE = new_schedule(0, 0.0)


def new_step(dtype: np.dtype) -> np.ndarray:
    """Return a record of one step of one batch, for arenas of this dtype, that updates nothing."""
    steps = np.zeros(1, STEP)
    steps["task_address"], steps["yield_address"] = task_address(dtype), yield_address()
    steps["n_members"] = steps["split_for"] = team_size()
    steps["n_steps"] = steps["n_parts"] = 1
    steps["rule"]["optimizer"] = NO_UPDATE
    return steps


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run of training steps: what is minimised and how parameters are updated.

    Attributes
    ----------
    batch_size : int
        Step s takes the rows order[s * batch_size : (s + 1) * batch_size]; the last may be short.
    totals : ndarray of float64
        The epoch's totals (`new_totals`), added to.
    first_step, n_steps : int
    optimizer : int
        A code of `OPTIMIZERS`, or NO_UPDATE: the gradient of the last batch is stored.
    hyper : ndarray of float64
        The optimiser's settings, see `maths.optimizers.rule_of`.
    schedule : ndarray of SCHEDULE, shape (n_steps,)
        Each step's learning rate and weight of the KL (`new_schedule`).
    updates_before : int
        Updates done before with these moments.
    draws : ndarray of int64, shape (1,)
        Number of the next batch's noise; each finished step adds 1.
    reconstruction_weight : float
    beta : float
        The weight of the KL where nothing is updated.
    clip_norm : float
        Largest norm of the whole gradient; 0 for no limit.
    binarization : str, optional
        A name of `BINARIZATIONS`: how the data are made binary.
    objective : Objective
        The bound that is maximised, that of the workspace which the run is done in.
    weights_finite : bool
        Whether all weights are known to be finite; else it is looked at where zeros are skipped.
    first_place : int
        Where the rows are a part of a batch, the place in it that noise and draws begin at.
    n_members : int
        The team that regions are split into tasks for: all pieces of a step must go by one number.
    """

    batch_size: int
    totals: np.ndarray
    first_step: int = 0
    n_steps: int = 1
    optimizer: int = NO_UPDATE
    hyper: np.ndarray = field(default_factory=lambda: np.zeros(2))
    schedule: np.ndarray = field(default_factory=lambda: new_schedule(0, 0.0))
    updates_before: int = 0
    draws: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    reconstruction_weight: float = 1.0
    beta: float = 1.0
    clip_norm: float = 0.0
    binarization: str | None = None
    objective: Objective = PLAIN
    weights_finite: bool = False
    first_place: int = 0
    n_members: int = field(default_factory=team_size)

    def step(self, number: int) -> "Training":
        """Return one step of the run, counted from 0, as a run of its own."""
        return replace(
            self, first_step=self.first_step + number, n_steps=1,
            schedule=self.schedule[number : number + 1],
            updates_before=self.updates_before + number,
        )  # fmt: skip


def _touch(values: np.ndarray) -> None:
    """Make the system give an array its memory, in calls that Ctrl-C need not wait long for.

    Layers write some columns of all rows at once: the first such call would take all the memory of
    a matrix, up to 3 s for a GB. Smaller arrays are left to the threads that write to them first:
    where each group of cores has memory of its own, theirs is near.
    """
    if values.size < _TOUCHED:
        return
    for first in range(0, values.size, _TOUCHED):
        values[first : first + _TOUCHED : _PAGE // values.itemsize] = 0.0


class Workspace:
    """Matrices, programs and step numbers for the passes over up to `n_rows` rows at a time.

    It has room for gradients with `training` only, and for lists with `skip_zeros` only: then the
    zeros of its data are left out. The likelihood is a name of `LIKELIHOODS`, or one of whole rows.
    It is what is trained that has an objective: there it has room for all latents of a row.
    """

    def __init__(
        self, network: Architecture, likelihood: str | RowLikelihood, n_rows: int, dtype: np.dtype,
        *, training: bool, skip_zeros: bool, objective: Objective = PLAIN,
    ) -> None:  # fmt: skip
        self.n_rows, self.training, self.skip_zeros = n_rows, training, skip_zeros
        self.objective = objective
        self._n_latent = network.n_latent
        rows = None if isinstance(likelihood, str) else likelihood
        self.places, size = workspace_places(
            network, n_rows, max_threads(), dtype, training=training,
            skip_zeros=skip_zeros, observes=rows is not None and rows.observes,
            n_samples=objective.n_samples,
        )  # fmt: skip
        self.matrices = aligned_zeros(size, dtype)
        if training:
            _touch(self.matrices[int(self.places["offset"][ACTIVE]) :])
        n_lists = n_listed(int(network.table["n_in"][0]), n_rows, training=training)
        self.lists = np.zeros(n_lists * skip_zeros, np.int32)
        self.reconstruction = np.zeros(n_rows * objective.n_samples)
        self.kl = np.zeros(n_rows)
        bound = None
        if objective != PLAIN:
            bound = Bound(objective, network, self.places, dtype, n_rows)
        self.passes = Passes(network, self.places, dtype, rows, bound=bound)
        self.steps = new_step(dtype)
        if isinstance(likelihood, str):
            self.steps["likelihood"] = LIKELIHOODS[likelihood]
        self.steps["reconstruction_weight"] = self.steps["beta"] = 1.0
        self.steps["free_bits"] = objective.free_bits
        # Fields are written to through views of them, in a tenth of the time.
        self._views: dict[str, Any] = {
            name: self.steps[name].data for name in STEP.fields or () if name != "rule"
        }
        self._source = np.zeros(2 if network.n_classes else 1, SOURCE)
        self._address = member_address(dtype)
        self._partial = np.zeros(n_partial_sums(network.table, dtype))
        self._draws = np.zeros(1, np.int64)
        self._data: tuple[np.ndarray | None, ...] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices and lists that a step is done in."""
        return self.matrices.nbytes + self.lists.nbytes

    def matrix(self, place: int, n_rows: int, n_columns: int) -> np.ndarray:
        """Return a view of a matrix as (n_rows, n_columns)."""
        offset, stride = self.places[place].item()
        rows = self.matrices[offset : offset + n_rows * stride].reshape(n_rows, stride)
        return rows[:, :n_columns]

    def set(self, **numbers: int | float) -> None:
        """Set numbers of the step by their names."""
        for name, number in numbers.items():
            self._views[name][0] = number

    def take(self, data: np.ndarray, labels: np.ndarray | None = None, first_row: int = 0) -> None:
        """Set the data that rows are gathered from, kept until `release`.

        With classes also the label of each row: int64 side by side, within the classes. Passes call
        the rows first_row, first_row + 1, ...: no others may be asked for. All weights count as
        finite only if that is `set` afterwards.
        """
        if (labels is not None) != (len(self._source) > 1):
            raise RuntimeError("a workspace takes labels if it is of classes, and only then")
        self._source[0] = array_source(data)
        if labels is not None:
            self._source[1] = LABELS, 0, labels.ctypes.data, labels.strides[0], 0, 0, 0, 0
        # Rows are named by order alone: where they begin at another number, so does the address.
        self._source["address"] -= first_row * self._source["row_step"]
        self.set(skip_zeros=self.skip_zeros, weights_finite=False)
        self._data = data, labels

    def release(self) -> None:
        """Let go of the data."""
        self._data = None

    def run(
        self, program: np.ndarray, parameters: np.ndarray, order: np.ndarray, out: np.ndarray,
        first_step: int = 0, n_steps: int = 1, first_draw: int = 0,
    ) -> None:  # fmt: skip
        """Run a pass that updates nothing over batches of `order`; `out` is a flat array."""
        self._draws[0] = first_draw
        self.set(
            first_step=first_step, n_steps=n_steps, batch_size=self.n_rows, split_for=team_size(),
            block_rows=block_rows(self.n_rows, team_size()),
        )  # fmt: skip
        self._run(program, (parameters,) * 4, out, order, _NOTHING, _NO_SCHEDULE, self._draws)

    def run_to(
        self, program: np.ndarray, parameters: np.ndarray, order: np.ndarray,
        outs: Sequence[np.ndarray], *, streams: bool,
    ) -> None:  # fmt: skip
        """Run a pass over all of `order` whose results go to one array or to two, a row for a row.

        With `streams` those of the first go past the caches, see `results`.
        """
        self._views["streams"][0] = streams
        if len(outs) > 1:
            self._views["second_out"][0] = outs[1].ctypes.data
        n_steps = -(-len(order) // self.n_rows)
        self.run(program, parameters, order, outs[0].reshape(-1), n_steps=n_steps)

    def run_blocks(
        self, program: np.ndarray, parameters: np.ndarray, n_rows: int, first: int, n_blocks: int
    ) -> None:
        """Run a program on the same `n_rows` rows again and again, by draws first, first + 1 ..."""
        self._draws[0] = first
        order = np.zeros(n_rows * n_blocks, np.int64)
        self.set(
            first_step=0, n_steps=n_blocks, batch_size=n_rows, split_for=team_size(), block_rows=0
        )  # fmt: skip
        arenas = (parameters,) * 4
        self._run(program, arenas, self.matrices, order, _NOTHING, _NO_SCHEDULE, self._draws)

    def pieces(self, run: Training, flop_per_call: float) -> list[Piece]:
        """Return the pieces of each step of a run: one if it is short (see `divide`)."""
        passes = self.passes.binarizing(run.binarization)
        if run.optimizer == NO_UPDATE:
            return divide(self.gradient(run), run.batch_size, flop_per_call)
        if run.clip_norm > 0.0:
            return divide(passes.clipped_training, run.batch_size, flop_per_call)
        pieces = divide(passes.stored_training, run.batch_size, flop_per_call)
        return pieces if len(pieces) > 1 else [Piece(passes.training)]

    def gradient(self, run: Training) -> np.ndarray:
        """Return the program that stores the gradient of a run's batches."""
        return self.passes.binarizing(run.binarization).gradient

    def count_tasks(self, program: np.ndarray, n_members: int) -> np.ndarray:
        """Count the tasks of a whole batch for a team of so many members.

        Returns
        -------
        ndarray of int64, shape (3, n_regions)
            Of each region its tasks, whether the leader does it alone, and its phase: the regions
            of one members go through without meeting.
        """
        counts = np.zeros((3, len(program)), np.int64)
        steps = self.steps.copy()
        steps["n_rows"], steps["split_for"] = self.n_rows, n_members
        steps["block_rows"] = block_rows(self.n_rows, n_members)
        count_tasks(*counts, program, steps, panel_width(self.matrices.itemsize))
        return counts

    def train(
        self, arenas: tuple[np.ndarray, ...], order: np.ndarray, run: Training, piece: Piece
    ) -> None:
        """Run a piece of training; `arenas` are parameters, two moments and the gradient.

        Weights must be finite where zeros are skipped: there is no room to do without.
        """
        if not self.training:
            raise RuntimeError("this workspace has no room for gradients")
        draws = run.draws if piece.is_last else run.draws.copy()
        self.set(
            part=piece.part, n_parts=piece.n_parts, split_for=run.n_members,
            first_step=run.first_step, n_steps=run.n_steps, batch_size=run.batch_size,
            updates_before=run.updates_before, reconstruction_weight=run.reconstruction_weight,
            beta=run.beta, clip_norm=run.clip_norm, weights_finite=True,
            stream=STREAM_NOISE, element=run.first_place * self._n_latent,
            first_place=run.first_place, block_rows=block_rows(run.batch_size, run.n_members),
        )  # fmt: skip
        self.steps["rule"] = rule_of(run.optimizer, run.hyper)
        self._run(piece.program, arenas, self.matrices, order, run.totals, run.schedule, draws)

    def _run(
        self, program: np.ndarray, arenas: tuple[np.ndarray, ...], out: np.ndarray,
        order: np.ndarray, totals: np.ndarray, schedule: np.ndarray, draws: np.ndarray,
    ) -> None:  # fmt: skip
        self._check_data()
        self._views["n_members"][0] = team_size()
        parameters, moment1, moment2, gradient = arenas
        memory = Memory(
            parameters, moment1, moment2, gradient, self.matrices, out, self.lists, self.lists,
            self.reconstruction, self.kl, self._partial, totals, schedule, draws, order,
            self._source,
        )  # fmt: skip
        run_program(self._address, program, self.steps, memory)

    def _check_data(self) -> None:
        if self._data is None:
            raise RuntimeError("a workspace runs on data that it was told to `take`; it has none")
