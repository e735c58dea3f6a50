"""Regions: how a region of a program is split into tasks, and who runs them.

A task owns what it writes, so that it matters neither when nor by whom it is run. One compiled
function runs the tasks of all kinds; how many there are stands beside what each does.
"""

import functools
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype

from ..machine.compilation import address_of, device_function, kernel
from ..machine.kinds import Record, Word, Words
from ..machine.team import (
    DONE,
    FAILED,
    RANGES,
    REGION,
    call_at,
    claim,
    publish,
    shared_add,
    shared_get,
    shared_set,
    wait,
)
from . import records
from .data_tasks import gather_count, gather_task
from .dense_tasks import (
    backward_input_count,
    backward_input_task,
    backward_weight_count,
    backward_weight_task,
    blocks,
    forward_count,
    forward_task,
    output_task,
    pack_count,
    pack_task,
    panel_columns,
)
from .latent_tasks import backward_latent_task, draw_task, rows_count
from .loss_tasks import row_losses_task, totals_count, totals_task
from .records import (
    BACKWARD_BIAS,
    BACKWARD_INPUT,
    BACKWARD_LATENT,
    BACKWARD_WEIGHT,
    CLIP,
    DRAW,
    FORWARD,
    GATHER,
    OUTPUT,
    PACK,
    ROW_LOSSES,
    ROWS,
    SQUARE_SUMS,
    TOTALS,
    UPDATE,
    WEIGH,
    Memory,
)
from .sparse_tasks import (
    list_columns_count,
    list_columns_task,
    sparse_forward_count,
    sparse_forward_task,
    sparse_weight_count,
    sparse_weight_task,
)
from .update_tasks import (
    clip_task,
    square_sums_count,
    square_sums_task,
    update_count,
    update_task,
)

SMALL_PRODUCTS = 10_000
"""Multiplications of a region that its leader does while a team would still agree on it."""
UPDATE_ROWS = 8
"""Rows of a batch that cost as much as the update of the weights."""


@device_function
def _is_sparse(region: Record, step: Record) -> Word:
    """Whether a region leaves out the zeros of the data."""
    return step.skip_zeros != 0 and region.reads_data != 0


@device_function
def _task_count(region: Record, step: Record, width: Word) -> Word:
    kind = region.kind
    n_rows = step.n_rows * region.repeat
    if region.n_tasks != 0:
        return region.n_tasks
    if _is_sparse(region, step):
        if kind == FORWARD:
            return sparse_forward_count(region, n_rows, width, step.split_for)
        if kind == PACK:
            return list_columns_count(region)
        if kind == BACKWARD_WEIGHT:
            return sparse_weight_count(region, width, step.split_for)
    if kind == GATHER:
        return gather_count(region, n_rows)
    if kind == FORWARD or kind == OUTPUT:
        return forward_count(region, n_rows, width, step.split_for)
    if kind == DRAW or kind == ROW_LOSSES or kind == ROWS:
        return rows_count(n_rows)
    if kind == BACKWARD_LATENT:
        return rows_count(step.n_rows)
    if kind == WEIGH:
        return step.n_rows
    if kind == BACKWARD_INPUT:
        return backward_input_count(region, n_rows, width, step.split_for)
    if kind == PACK:
        return pack_count(region)
    if kind == BACKWARD_WEIGHT:
        return backward_weight_count(region, width, step.split_for)
    if kind == SQUARE_SUMS:
        return square_sums_count(region, width)
    if kind == UPDATE:
        return update_count(region)
    if kind == BACKWARD_BIAS:
        return blocks(region.n_out, width)
    if kind == TOTALS:
        return totals_count(region)
    return 1


@device_function
def _is_small(region: Record, step: Record, n_tasks: Word) -> Word:
    """Whether a region takes less time alone than with a team (0.5 us to start and to end)."""
    n_rows = step.n_rows * region.repeat
    if region.kind == BACKWARD_WEIGHT:
        n_rows += UPDATE_ROWS
    products = n_rows * region.n_in * max(region.n_out, 1)
    if region.kind == ROW_LOSSES:
        products = n_rows * region.groups.stride
    elif region.kind == TOTALS:
        products = n_rows * region.n_out
    is_light = region.kind <= BACKWARD_WEIGHT or region.kind == TOTALS
    return n_tasks == 1 or (is_light and products < SMALL_PRODUCTS)


@kernel
def count_tasks(tasks: Words, alone: Words, program: Record, steps: Record, width: Word) -> None:
    """How many tasks each region of a program has, and whether its leader does it alone.

    Parameters
    ----------
    tasks, alone : ndarray of int64, shape (n_regions,)
    program : ndarray of REGION
    steps : ndarray of STEP, shape (1,)
        Of a batch of `n_rows` rows, for a team of `n_members`.
    width : int
        Columns of a panel.
    """
    for i in range(len(program)):
        tasks[i] = _task_count(program[i], steps[0], width)
        alone[i] = _is_small(program[i], steps[0], tasks[i])


@kernel
def run_task(task: Word, region: Record, step: Record, memory: Record, thread: Word) -> None:
    """Run one task of a region; `thread` is the member that runs it, for its own scratch."""
    kind = region.kind
    sparse = _is_sparse(region, step)
    if kind == GATHER:
        gather_task(task, region, step, memory)
    elif kind == FORWARD and sparse:
        sparse_forward_task(task, region, step, memory)
    elif kind == FORWARD:
        forward_task(task, region, step, memory)
    elif kind == DRAW:
        draw_task(task, region, step, memory)
    elif kind == OUTPUT:
        output_task(task, region, step, memory)
    elif kind == ROW_LOSSES:
        row_losses_task(task, region, step, memory)
    elif kind == BACKWARD_INPUT:
        backward_input_task(task, region, step, memory, thread)
    elif kind == BACKWARD_LATENT:
        backward_latent_task(task, region, step, memory)
    elif kind == BACKWARD_WEIGHT and sparse:
        sparse_weight_task(task, region, step, memory)
    elif kind == BACKWARD_WEIGHT:
        backward_weight_task(task, region, step, memory)
    elif kind == PACK and sparse:
        list_columns_task(task, region, step, memory)
    elif kind == PACK:
        pack_task(task, region, step, memory)
    elif kind == SQUARE_SUMS:
        square_sums_task(task, region, memory)
    elif kind == CLIP:
        clip_task(region, step, memory)
    elif kind == UPDATE:
        update_task(task, region, step, memory)
    else:
        totals_task(task, region, step, memory)


def memory_type(dtype: np.dtype | type, *, pointers: bool = False) -> types.Type:
    """Return the Numba type of a `Memory` whose arenas are of this dtype, of arrays or pointers."""
    arena = from_dtype(np.dtype(dtype))
    bases = [*[arena] * 6, *[types.int32] * 2, *[types.float64] * 4]
    bases += [from_dtype(records.SCHEDULE), *[types.int64] * 2]
    kinds = [types.CPointer(base) if pointers else types.Array(base, 1, "C") for base in bases]
    return types.NamedTuple([*kinds, types.Array(from_dtype(records.SOURCE), 1, "C")], Memory)


def task_types(dtype: np.dtype | type) -> tuple[types.Type, ...]:
    """Return the types that `run_task` takes for arenas of this dtype."""
    region, step = from_dtype(records.REGION), from_dtype(records.STEP)
    return types.int64, region, step, memory_type(dtype, pointers=True), types.int64


@functools.cache
def task_address(dtype: np.dtype | type, tasks: Any = run_task) -> int:
    """Compile tasks for arenas of this dtype, if need be, and return their address.

    `tasks` is a kernel with the arguments of `run_task`.
    """
    return address_of(tasks, task_types(dtype))


@device_function
def _run(
    task: Word, region: Record, step: Record, memory: Record, team: Words, member: Word
) -> None:
    arguments = (np.int64(task), region, step, memory, np.int64(member))
    address = region.task_address if region.task_address != 0 else step.task_address
    if call_at(address, arguments) != 0:
        shared_set(team, FAILED, 1)


@device_function
def work_off(team: Words, program: Record, step: Record, memory: Record, member: Word) -> None:
    """Run tasks until no range has any left: the member's own first, then the others'.

    A follower is here because its own range had tasks, so it has one of them.
    """
    n_done = 0
    n_ranges = shared_get(team, RANGES)
    for turn in range(n_ranges):
        owner = (member + turn) % n_ranges
        task = claim(team, owner)
        while task >= 0:
            _run(task, program[shared_get(team, REGION)], step, memory, team, member)
            n_done += 1
            task = claim(team, owner)
    if n_done > 0:
        shared_add(team, DONE, n_done)


@device_function
def run_alone(
    team: Words, program: Record, i: Word, step: Record, memory: Record, member: Word
) -> None:
    """Run all tasks of a region of a step that is this member's own."""
    for task in range(_task_count(program[i], step, panel_columns(memory))):
        _run(task, program[i], step, memory, team, member)


@device_function
def run_region(team: Words, program: Record, i: Word, step: Record, memory: Record) -> None:
    """Run a region, or a part of it, as the leader of a team: alone, or with the team's help."""
    n_all = _task_count(program[i], step, panel_columns(memory))
    first = step.part * n_all // step.n_parts
    n_tasks = (step.part + 1) * n_all // step.n_parts - first
    # One way for all, since each place that calls tasks costs half a second of compiling.
    n_helping = 1 if _is_small(program[i], step, n_tasks) else min(step.n_members, n_tasks)
    publish(team, i, first, n_tasks, n_helping)
    work_off(team, program, step, memory, 0)
    spins = 0
    while shared_get(team, DONE) < n_tasks and shared_get(team, FAILED) == 0:
        spins = wait(spins, step.yield_address)
