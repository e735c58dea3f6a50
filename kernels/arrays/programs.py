"""Small programs for the public kernels: matrices placed, filled and run by the engine."""

from collections.abc import Sequence

import numpy as np

from ..engine.data_tasks import array_source
from ..engine.layout import aligned_zeros, place_matrices
from ..engine.programs import new_program, new_region
from ..engine.records import SOURCE, UPDATE, Memory, new_schedule
from ..engine.steps import member_address, run_program
from ..engine.workspace import new_step
from ..maths.optimizers import rule_of

_NOTHING = np.zeros(0)
_NO_SCHEDULE = new_schedule(0, 0.0)
_NO_LIST = np.zeros(0, np.int32)


def new_work(sizes: Sequence[tuple[int, int]], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return places, and the workspace, of matrices given by row stride and elements."""
    strides, elements = zip(*sizes, strict=True)
    places, size = place_matrices(strides, elements, dtype.itemsize)
    return places, aligned_zeros(size, dtype)


def run(
    program: Sequence[np.ndarray], arenas: Sequence[np.ndarray], work: np.ndarray,
    out: np.ndarray, data: Sequence[np.ndarray], order: np.ndarray, *, seed: int = 0,
) -> None:  # fmt: skip
    """Run regions on one batch.

    Parameters
    ----------
    program : sequence of ndarray of REGION
        In the order that they are run.
    arenas : sequence of four ndarray, one-dimensional
        Parameters, two moments and the gradient, of one layout and dtype.
    work, out : ndarray, one-dimensional, of that dtype
        The workspace; what regions with `to_out` write to.
    data : sequence of ndarray, shape (N, I) each
        The sources, uint8, float32 or float64.
    order : ndarray of int64, shape (B,)
        The rows of the batch; with none, nothing is done.
    seed : int
        Of random numbers.
    """
    if len(order):
        steps = new_step(work.dtype)
        steps["batch_size"], steps["seed"] = len(order), seed
        sources = np.array([array_source(array) for array in data], SOURCE)
        _run(program, steps, [*arenas, work, out], _NO_SCHEDULE, order, sources)


def run_update(
    arenas: Sequence[np.ndarray], optimizer: int, hyper: Sequence[float], rate: float, update: int
) -> None:
    """Apply the gradient, the last of `arenas`, to the others; `update` counts from 1."""
    steps = new_step(arenas[0].dtype)
    steps["batch_size"], steps["updates_before"] = 1, update - 1
    steps["rule"] = rule_of(optimizer, hyper)
    program, schedule = [new_region(UPDATE, n_in=arenas[0].size)], new_schedule(1, rate)
    no_work = [arenas[0]] * 2
    _run(program, steps, [*arenas, *no_work], schedule, np.zeros(1, np.int64), np.zeros(0, SOURCE))


def _run(
    program: Sequence[np.ndarray], steps: np.ndarray, arrays: Sequence[np.ndarray],
    schedule: np.ndarray, order: np.ndarray, sources: np.ndarray,
) -> None:  # fmt: skip
    parameters, moment1, moment2, gradient, work, out = arrays
    memory = Memory(
        parameters, moment1, moment2, gradient, work, out, _NO_LIST, _NO_LIST, _NOTHING, _NOTHING,
        _NOTHING, _NOTHING, schedule, np.zeros(1, np.int64), order, sources,
    )  # fmt: skip
    run_program(member_address(work.dtype), new_program(program), steps, memory)
