"""Small programs for the public kernels: matrices placed, filled and run by the engine."""

from collections.abc import Sequence

import numpy as np

from ..engine.data_tasks import array_source
from ..engine.layout import aligned_zeros, place_matrices
from ..engine.passes import new_program, new_region
from ..engine.records import SOURCE, UPDATE, Memory
from ..engine.steps import member_address, run_program
from ..engine.workspace import new_step
from ..maths.optimizers import decays_of

_NOTHING = np.zeros(0)
_NO_LIST = np.zeros(0, np.int32)


def new_work(sizes: Sequence[tuple[int, int]], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return places, and the workspace, of matrices given by row stride and elements."""
    strides, elements = zip(*sizes, strict=True)
    places, size = place_matrices(strides, elements, dtype.itemsize)
    return places, aligned_zeros(size, dtype)


def run(
    program: Sequence[np.ndarray], arenas: Sequence[np.ndarray], work: np.ndarray,
    out: np.ndarray, data: Sequence[np.ndarray], order: np.ndarray,
) -> None:  # fmt: skip
    """Run regions on one batch, the rows `order` of the arrays `data`.

    `arenas` are parameters, two moments and the gradient.
    """
    if len(order):
        steps = new_step(work.dtype)
        steps["batch_size"] = len(order)
        sources = np.array([array_source(array) for array in data], SOURCE)
        _run(program, steps, [*arenas, work, out], np.zeros(1), order, sources)


def run_update(
    arenas: Sequence[np.ndarray], optimizer: int, hyper: Sequence[float], rate: float, update: int
) -> None:
    """Apply the gradient, the last of `arenas`, to the others; `update` counts from 1."""
    steps = new_step(arenas[0].dtype)
    steps["batch_size"], steps["updates_before"] = 1, update - 1
    steps["rule"] = (optimizer, 0.0, *decays_of(optimizer, hyper), 1.0, 1.0)
    program, rates = [new_region(UPDATE, n_in=arenas[0].size)], np.full(1, rate)
    no_work = [arenas[0]] * 2
    _run(program, steps, [*arenas, *no_work], rates, np.zeros(1, np.int64), np.zeros(0, SOURCE))


def _run(
    program: Sequence[np.ndarray], steps: np.ndarray, arrays: Sequence[np.ndarray],
    learning_rates: np.ndarray, order: np.ndarray, sources: np.ndarray,
) -> None:  # fmt: skip
    parameters, moment1, moment2, gradient, work, out = arrays
    memory = Memory(
        parameters, moment1, moment2, gradient, work, out, _NO_LIST, _NO_LIST, _NOTHING, _NOTHING,
        _NOTHING, _NOTHING, learning_rates, np.zeros(1, np.int64), order, sources,
    )  # fmt: skip
    run_program(member_address(work.dtype), new_program(program), steps, memory)
