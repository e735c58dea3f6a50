"""Compiling ahead: what training and the passes over rows need."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from ..engine.bounds import Objective, tasks_of
from ..engine.layout import Architecture, layer_table, new_arena
from ..engine.loss_tasks import new_totals
from ..engine.pieces import Piece
from ..engine.records import new_schedule
from ..engine.regions import run_task, task_types
from ..engine.steps import member_types, run_member, run_steps, steps_types
from ..engine.workspace import Training, Workspace
from ..machine.compilation import would_load
from ..machine.launching import launched
from ..maths.optimizers import OPTIMIZERS
from ..maths.philox import STREAM_ORDER, STREAM_WEIGHTS, shuffle
from .random import normal

_in_memory: set[tuple[np.dtype, Any]] = set()
"""Dtypes whose code was seen there, where it stays; to look takes a tenth of a millisecond."""


@functools.cache
def _needed(
    dtype: np.dtype, steps: Any = run_steps
) -> tuple[tuple[Any, tuple[types.Type, ...]], ...]:
    """What training in this dtype calls: compiled functions, and the types that they take."""
    order = (types.Array(types.int64, 1, "C"), types.uint64, types.uint64, types.uint64)
    return (
        (shuffle, order),
        (run_task, task_types(dtype)),
        (run_member, member_types(dtype)),
        (steps, steps_types(dtype)),
    )


def objective_is_compiled(objective: Objective, dtype: np.dtype | type) -> bool:
    """Tell whether training by an objective finds the machine code that it alone needs."""
    kinds = task_types(np.dtype(dtype))
    return all(
        kinds in tasks.overloads or would_load(tasks, kinds) for tasks in tasks_of(objective)
    )


def is_compiled(
    dtypes: Sequence[np.dtype | type] = (np.float32,), *, on_disk: bool = False
) -> bool:
    """Tell whether training in these dtypes finds all its machine code.

    It is in memory or, whole and made for just this environment, in the cache on disk; with
    `on_disk` only the latter counts.
    """
    steps = launched(run_steps)  # in some forked children it is another function
    asked = {(np.dtype(dtype), steps) for dtype in dtypes}
    for one in asked - (set() if on_disk else _in_memory):
        here = [argument_types in function.overloads for function, argument_types in _needed(*one)]
        if all(here):
            _in_memory.add(one)
        pairs = zip(here, _needed(*one), strict=True)
        if not all((is_here and not on_disk) or would_load(*pair) for is_here, pair in pairs):
            return False
    return True


def warmup(dtypes: Sequence[np.dtype | type] = (np.float32,)) -> None:
    """Compile, or load from the cache, what training in these dtypes needs, first weights included.

    One step of the smallest network goes through everything, since all networks run through
    the same machine code.
    """
    n_rows, n_latent = 2, 1
    order = np.empty(n_rows, np.int64)
    shuffle(order, np.uint64(0), np.uint64(STREAM_ORDER), np.uint64(0))
    layers = [(3, 2, "relu"), (2, 2 * n_latent, "identity"), (n_latent, 3, "sigmoid")]
    run = Training(
        batch_size=n_rows,
        totals=new_totals(n_latent),
        optimizer=OPTIMIZERS["adam"],
        hyper=np.array([0.9, 0.999, 1e-8]),
        schedule=new_schedule(1, 0.0),
    )
    for dtype in dtypes:
        normal(np.empty(1, dtype), 0, STREAM_WEIGHTS, 0)
        table = layer_table(layers, dtype)
        arenas = tuple(new_arena(table, dtype) for _ in range(4))
        work = Workspace(
            Architecture(table, 1),
            "bernoulli",
            n_rows,
            np.dtype(dtype),
            training=True,
            skip_zeros=False,
        )
        work.take(np.zeros((n_rows, 3), np.uint8))
        work.train(arenas, order, run, Piece(work.passes.training))
