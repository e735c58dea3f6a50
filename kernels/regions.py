"""Parallel regions: one compiled function that runs any row of a program.

A region is split into tasks, each of which owns what it writes. One `prange` serves all kinds,
since each costs about a second to compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_thread_id, prange, types
from numba.core import cgutils
from numba.np.numpy_support import from_dtype

from ._dense_tasks import (
    CHUNK_ROWS,
    PACK_TILES,
    TASK_TILES,
    backward_input_task,
    backward_weight_task,
    forward_task,
    output_task,
    pack_task,
)
from ._jit import device_function, kernel, parallel_kernel
from ._latent_tasks import TASK_ROWS, backward_latent_task, draw_task, row_losses_task
from ._tiles import MR, NR
from .gather import gather_task
from .optimizers import RULE_SIZE, update_span
from .program import (
    BACKWARD_INPUT,
    BACKWARD_LATENT,
    BACKWARD_WEIGHT,
    DRAW,
    FIRST_LAYER,
    FORWARD,
    GATHER,
    INPUTS,
    KIND,
    OUTPUT,
    OUTPUTS,
    PACK,
    ROW_LOSSES,
    SQUARE_SUMS,
)
from .simd import advance, intrinsic, lane_count, pointer

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
    ADDRESS,
) = range(12)
WHOLE_SIZE = ADDRESS + 4  # the data's address, byte strides of rows and columns, dtype code

# Entries of `real`, the real numbers of a step (float64); the optimiser's rule comes first.
OUTPUT_SCALE = RULE_SIZE
KL_SCALE = RULE_SIZE + 1
REAL_SIZE = RULE_SIZE + 2

SMALL_PRODUCTS = 40_000
"""Multiplications of a region that one thread does while others would still be waking."""

ARENA_BLOCK = 4096
"""Elements of an arena in one task, and in one partial sum of its squares."""


@device_function
def _blocks(n: Any, size: Any) -> Any:
    return (n + size - 1) // size


@device_function
def _task_count(row: Any, n_rows: Any, width: Any, arena_size: Any) -> Any:
    kind = row[KIND]
    if kind == GATHER:
        return _blocks(n_rows, MR)
    if kind == FORWARD or kind == OUTPUT:
        return _blocks(row[OUTPUTS], width) * _blocks(n_rows, CHUNK_ROWS)
    if kind == DRAW or kind == ROW_LOSSES or kind == BACKWARD_LATENT:
        return _blocks(n_rows, TASK_ROWS)
    if kind == BACKWARD_INPUT:
        return _blocks(row[INPUTS], width)
    if kind == PACK:
        return _blocks(row[INPUTS], PACK_TILES * MR)
    if kind == BACKWARD_WEIGHT:
        return _blocks(row[OUTPUTS], width) * _blocks(row[INPUTS], TASK_TILES * MR)
    return _blocks(arena_size, ARENA_BLOCK)


@device_function
def _is_small(row: Any, n_rows: Any, n_tasks: Any) -> Any:
    """Whether a region takes less time than waking the other threads (2 to 4 us)."""
    products = n_rows * row[INPUTS] * max(row[OUTPUTS], 1)
    return n_tasks == 1 or (row[KIND] <= BACKWARD_WEIGHT and products < SMALL_PRODUCTS)


@kernel
def run_task(
    task, row, whole, real, parameters, moment1, moment2, gradient, work, out, columns, lists,
    sums, partial, order, thread,
):  # fmt: skip
    kind = row[KIND]
    n_rows = whole[N_ROWS]
    skip = whole[SKIP] != 0
    if kind == GATHER:
        gather_task(
            task, row, n_rows, work, whole[ADDRESS:], order, whole[FIRST_ROW], columns, skip
        )
    elif kind == FORWARD:
        forward_task(task, row, n_rows, parameters, work, out, columns, skip)
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
    elif kind == BACKWARD_WEIGHT:
        backward_weight_task(
            task, row, n_rows, parameters, moment1, moment2, gradient, work, whole[OPTIMIZER],
            real, lists, skip,
        )  # fmt: skip
    elif kind == PACK:
        pack_task(task, row, n_rows, work, lists, skip and row[FIRST_LAYER] == 1)
    elif kind == SQUARE_SUMS:
        _square_sum(partial, gradient, task)
    else:
        first = task * ARENA_BLOCK
        n = min(ARENA_BLOCK, parameters.size - first)
        update_span(
            whole[OPTIMIZER], parameters, moment1, moment2, gradient,
            advance(pointer(gradient), first), first, n, real,
        )  # fmt: skip


@device_function
def _square_sum(partial: Any, values: Any, task: Any) -> None:
    total = 0.0
    for e in range(task * ARENA_BLOCK, min((task + 1) * ARENA_BLOCK, values.size)):
        total += np.float64(values[e]) * np.float64(values[e])
    partial[task] = total


def task_address(dtype: np.dtype | type) -> int:
    """Compile `run_task` for arenas of this dtype, if need be, and return its address.

    Regions call it by address: were it linked into each of the functions around it, LLVM would
    optimise and translate all tasks six times, which takes 9 s of 21.
    """
    whole, real = types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C")
    arena, lists = (
        types.Array(from_dtype(np.dtype(dtype)), 1, "C"),
        types.Array(types.int32, 1, "C"),
    )
    sums = types.Array(types.float64, 2, "C")
    arrays = (whole, whole, real, *[arena] * 6, lists, lists, sums, real, whole)
    signature = (types.int64, *arrays, types.int64)
    run_task.compile(signature)
    compiled = run_task.overloads[signature]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@intrinsic
def _call_task(typingctx: Any, address: Any, arguments: Any) -> Any:
    """Call the function at `address` with a tuple of arguments, as `run_task` is called."""
    kinds = tuple(types.unliteral(kind) for kind in arguments)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        convention = context.call_conv
        kind = convention.get_function_type(types.none, kinds)
        function = builder.inttoptr(args[0], kind.as_pointer())
        values = cgutils.unpack_tuple(builder, args[1])
        convention.call_function(builder, function, types.none, kinds, values)
        return context.get_dummy_value()

    return types.void(types.intp, types.BaseTuple.from_types(kinds)), lower


@parallel_kernel
def run_region(
    row, whole, real, parameters, moment1, moment2, gradient, work, out, columns, lists, sums,
    partial, order,
):  # fmt: skip
    """Run one region.

    Parameters
    ----------
    row : ndarray of int64, shape (COLUMNS,)
        A row of a program.
    whole : ndarray of int64, shape (WHOLE_SIZE,)
    real : ndarray of float64, shape (REAL_SIZE,)
        Numbers of the step.
    parameters, moment1, moment2, gradient : ndarray
        Arenas of one layout.
    work, out : ndarray
        The workspace, and the array that forward passes write to (often the workspace).
    columns, lists : ndarray of int32
        Lists of non-zero columns of each block of rows, and of non-zero rows of each tile.
    sums : ndarray of float64, shape (2, B)
        Reconstruction and KL per row.
    partial : ndarray of float64
        Partial sums of the gradient's squares.
    order : ndarray of int64
        The rows that `GATHER` takes.
    """
    width = NR * lane_count(pointer(parameters))
    n_tasks = _task_count(row, whole[N_ROWS], width, parameters.size)
    if _is_small(row, whole[N_ROWS], n_tasks):
        for task in range(n_tasks):
            arguments: Any = (
                task, row, whole, real, parameters, moment1, moment2, gradient, work, out,
                columns, lists, sums, partial, order, np.int64(0),
            )  # fmt: skip
            _call_task(whole[TASK_ADDRESS], arguments)
        return
    for task in prange(n_tasks):
        arguments = (
            np.int64(task), row, whole, real, parameters, moment1, moment2, gradient, work, out,
            columns, lists, sums, partial, order, np.int64(get_thread_id()),
        )  # fmt: skip
        _call_task(whole[TASK_ADDRESS], arguments)
