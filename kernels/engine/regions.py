"""Regions: how a row of a program is split into tasks, and who runs them.

A task owns what it writes, so that it matters neither when nor by whom it is run. One compiled
function runs the tasks of all kinds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype

from ..machine.compilation import address_of, device_function, kernel
from ..machine.memory import advance, lane_count, load_converted, pointer, store
from ..machine.team import (
    DONE,
    FAILED,
    REGION,
    call_at,
    claim,
    publish,
    shared_add,
    shared_get,
    shared_set,
    wait,
)
from ..machine.vectors import constant, fma
from ..maths.lists import SPAN
from ..maths.optimizers import RULE_SIZE, update_span
from ..maths.tiles import CHUNK_ROWS, MR, NR, WIDE
from .data_tasks import gather_task
from .dense_tasks import (
    PACK_TILES,
    TASK_TILES,
    backward_input_task,
    backward_weight_task,
    forward_task,
    output_task,
    pack_task,
    rows_per_task,
)
from .latent_tasks import TASK_ROWS, backward_latent_task, draw_task
from .loss_tasks import row_losses_task
from .passes import (
    BACKWARD_INPUT,
    BACKWARD_LATENT,
    BACKWARD_WEIGHT,
    DRAW,
    EXTRA,
    FIRST_LAYER,
    FORWARD,
    GATHER,
    INPUTS,
    KIND,
    OUTPUT,
    OUTPUTS,
    PACK,
    ROW_BIAS,
    ROW_LOSSES,
    ROW_WEIGHT,
    SQUARE_SUMS,
)
from .sparse_tasks import (
    SPARSE_INPUTS,
    SPARSE_ROWS,
    list_columns_task,
    sparse_forward_task,
    sparse_weight_task,
)

# Entries of `whole`, the whole numbers of a step (int64).
(
    N_ROWS,
    FIRST_ROW,
    SKIP,
    LIKELIHOOD,
    OPTIMIZER,
    DRAWS,
    SEED,
    STREAM,
    STEP,
    ELEMENT,
    TASK_ADDRESS,
    YIELD_ADDRESS,
    ADDRESS,
) = range(13)
WHOLE_SIZE = ADDRESS + 4  # the data's address, byte strides of rows and columns, dtype code

# Entries of `real`, the real numbers of a step (float64); the optimiser's rule comes first.
OUTPUT_SCALE = RULE_SIZE
KL_SCALE = RULE_SIZE + 1
REAL_SIZE = RULE_SIZE + 2

SMALL_PRODUCTS = 10_000
"""Multiplications of a region that its leader does while a team would still agree on it."""
UPDATE_ROWS = 8
"""Rows of a batch that cost as much as the update of the weights."""

ARENA_BLOCK = 4096
"""Elements of an arena in one task of the separate update."""


@device_function
def _blocks(n: Any, size: Any) -> Any:
    return (n + size - 1) // size


@device_function
def _is_sparse(row: Any, whole: Any) -> Any:
    """Whether a region leaves out the zeros of the data."""
    return whole[SKIP] != 0 and row[FIRST_LAYER] == 1


@device_function
def _task_count(row: Any, n_rows: Any, width: Any, arena_size: Any, sparse: Any) -> Any:
    kind = row[KIND]
    if sparse and kind == FORWARD:
        return _blocks(row[OUTPUTS], WIDE * width) * _blocks(n_rows, SPARSE_ROWS)
    if sparse and kind == PACK:
        return _blocks(row[INPUTS], SPAN)
    if sparse and kind == BACKWARD_WEIGHT:
        return _blocks(row[OUTPUTS], WIDE * width) * _blocks(row[INPUTS], SPARSE_INPUTS)
    if kind == GATHER:
        return _blocks(n_rows, MR)
    if kind == FORWARD or kind == OUTPUT:
        panels = _blocks(row[OUTPUTS], width)
        return panels * _blocks(n_rows, rows_per_task(n_rows, panels, CHUNK_ROWS))
    if kind == DRAW or kind == ROW_LOSSES or kind == BACKWARD_LATENT:
        return _blocks(n_rows, TASK_ROWS)
    if kind == BACKWARD_INPUT:
        panels = _blocks(row[INPUTS], width)
        return panels * _blocks(n_rows, rows_per_task(n_rows, panels, n_rows))
    if kind == PACK:
        return _blocks(row[INPUTS], PACK_TILES * MR)
    if kind == BACKWARD_WEIGHT:
        return _blocks(row[OUTPUTS], width) * _blocks(row[INPUTS], TASK_TILES * MR)
    if kind == SQUARE_SUMS:
        return _blocks(row[OUTPUTS], width)
    return _blocks(arena_size, ARENA_BLOCK)


@device_function
def _is_small(row: Any, n_rows: Any, n_tasks: Any) -> Any:
    """Whether a region takes less time alone than with a team (0.5 us to start and to end)."""
    if row[KIND] == BACKWARD_WEIGHT:
        n_rows += UPDATE_ROWS
    products = n_rows * row[INPUTS] * max(row[OUTPUTS], 1)
    return n_tasks == 1 or (row[KIND] <= BACKWARD_WEIGHT and products < SMALL_PRODUCTS)


@kernel
def run_task(
    task, row, whole, real, parameters, moment1, moment2, gradient, work, out, by_row, by_column,
    sums, partial, order, thread,
):  # fmt: skip
    kind = row[KIND]
    n_rows = whole[N_ROWS]
    sparse = _is_sparse(row, whole)
    if kind == GATHER:
        gather_task(
            task, row, n_rows, work, whole[ADDRESS:], order, whole[FIRST_ROW], by_row, sparse
        )
    elif kind == FORWARD and sparse:
        sparse_forward_task(task, row, n_rows, parameters, work, out, whole[FIRST_ROW], by_row)
    elif kind == FORWARD:
        forward_task(task, row, n_rows, parameters, work, out, whole[FIRST_ROW])
    elif kind == DRAW:
        draw_task(
            task, row, n_rows, work, sums, whole[DRAWS] != 0, np.uint64(whole[SEED]),
            np.uint64(whole[STREAM]), np.uint64(whole[STEP]), whole[ELEMENT],
        )  # fmt: skip
    elif kind == OUTPUT:
        output_task(task, row, n_rows, parameters, work, whole[LIKELIHOOD], real[OUTPUT_SCALE])
    elif kind == ROW_LOSSES:
        row_losses_task(task, row, n_rows, work, sums)
    elif kind == BACKWARD_INPUT:
        backward_input_task(task, row, n_rows, parameters, work, thread)
    elif kind == BACKWARD_LATENT:
        backward_latent_task(task, row, n_rows, work, real[KL_SCALE])
    elif kind == BACKWARD_WEIGHT and sparse:
        sparse_weight_task(
            task, row, n_rows, parameters, moment1, moment2, gradient, work, whole[OPTIMIZER],
            real, by_column,
        )  # fmt: skip
    elif kind == BACKWARD_WEIGHT:
        backward_weight_task(
            task, row, n_rows, parameters, moment1, moment2, gradient, work, whole[OPTIMIZER],
            real,
        )  # fmt: skip
    elif kind == PACK and sparse:
        list_columns_task(task, row, n_rows, work, by_column)
    elif kind == PACK:
        pack_task(task, row, n_rows, work)
    elif kind == SQUARE_SUMS:
        _square_sums(task, row, gradient, partial)
    else:
        first = task * ARENA_BLOCK
        n = min(ARENA_BLOCK, parameters.size - first)
        update_span(
            whole[OPTIMIZER], parameters, moment1, moment2, gradient,
            advance(pointer(gradient), first), first, n, real,
        )  # fmt: skip


@device_function
def _square_sums(panel: Any, row: Any, gradient: Any, partial: Any) -> None:
    """The sum of squares of each output's gradients, for a panel of a layer's outputs.

    One chain in float64 per output, over its inputs and then its bias, so that neither the panel's
    width nor where an output lies in the arena shows in the result. Pads are 0 and add nothing.
    """
    base = pointer(gradient)
    sums = pointer(partial)
    width = NR * lane_count(base)
    weights = advance(base, row[ROW_WEIGHT] + panel * row[INPUTS] * width)
    biases = advance(base, row[ROW_BIAS] + panel * width)
    for v in range(0, width, lane_count(sums)):
        g = load_converted(biases, v, sums)
        total = constant(g, 0.0)
        for i in range(row[INPUTS]):
            g = load_converted(weights, i * width + v, sums)
            total = fma(g, g, total)
        g = load_converted(biases, v, sums)
        store(sums, (row[EXTRA] + panel) * width + v, fma(g, g, total))


def array_types(dtype: np.dtype | type) -> tuple[types.Type, ...]:
    """Return the Numba types of a step's arrays, from `whole` to `order`."""
    whole, real = types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C")
    arena = types.Array(from_dtype(np.dtype(dtype)), 1, "C")
    lists = types.Array(types.int32, 1, "C")
    sums = types.Array(types.float64, 2, "C")
    return (whole, real, *[arena] * 6, lists, lists, sums, real, whole)


def task_address(dtype: np.dtype | type) -> int:
    """Compile `run_task` for arenas of this dtype, if need be, and return its address."""
    row = types.Array(types.int64, 1, "C")
    return address_of(run_task, (types.int64, row, *array_types(dtype), types.int64))


@device_function
def _run(task: Any, row: Any, arrays: Any, team: Any, member: Any) -> None:
    whole = arrays[0]
    if call_at(whole[TASK_ADDRESS], (np.int64(task), row, *arrays, np.int64(member))) != 0:
        shared_set(team, FAILED, 1)


@device_function
def work_off(team: Any, program: Any, arrays: Any, member: Any, n_members: Any) -> None:
    """Run tasks until no range has any left: the member's own first, then the others'."""
    n_done = 0
    for turn in range(n_members):
        owner = (member + turn) % n_members
        task = claim(team, owner)
        while task >= 0:
            _run(task, program[shared_get(team, REGION)], arrays, team, member)
            n_done += 1
            task = claim(team, owner)
    if n_done > 0:
        shared_add(team, DONE, n_done)


@device_function
def run_region(team: Any, program: Any, region: Any, arrays: Any, n_members: Any) -> None:
    """Run a row of a program as the leader of a team: alone, or with the team's help."""
    row = program[region]
    whole, parameters = arrays[0], arrays[2]
    width = NR * lane_count(pointer(parameters))
    sparse = _is_sparse(row, whole)
    n_tasks = _task_count(row, whole[N_ROWS], width, parameters.size, sparse)
    # One way for all, since each place that calls tasks costs half a second of compiling.
    n_helping = 1 if _is_small(row, whole[N_ROWS], n_tasks) else n_members
    publish(team, region, n_tasks, n_helping)
    work_off(team, program, arrays, 0, n_helping)
    spins = 0
    while shared_get(team, DONE) < n_tasks and shared_get(team, FAILED) == 0:
        spins = wait(spins, whole[YIELD_ADDRESS])
