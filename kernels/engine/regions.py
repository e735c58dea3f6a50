"""Regions: how a region of a program is split into tasks, and who runs them.

Regions that members go through without meeting are a phase: by rows, or side by side.

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
    REGIONS_END,
    announce,
    call_at,
    claim,
    offer,
    shared_add,
    shared_get,
    shared_set,
    wait,
)
from . import records
from .data_tasks import gather_task
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
from .latent_tasks import backward_latent_task, draw_task
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
from .row_blocks import goes_by_rows, n_blocks, parts_of_block, row_parts
from .sparse_tasks import (
    list_columns_count,
    list_columns_task,
    sparse_forward_count,
    sparse_forward_task,
    sparse_weight_count,
    sparse_weight_task,
)
from .splitting import rows_count
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
            return sparse_forward_count(region, n_rows, width, step)
        if kind == PACK:
            return list_columns_count(region)
        if kind == BACKWARD_WEIGHT:
            return sparse_weight_count(region, width, step.split_for)
    if kind == FORWARD or kind == OUTPUT:
        return forward_count(region, n_rows, width, step)
    if kind == DRAW or kind == ROW_LOSSES or kind == ROWS:
        return rows_count(n_rows)
    if kind == GATHER or kind == BACKWARD_LATENT:
        return rows_count(step.n_rows)
    if kind == WEIGH:
        return step.n_rows
    if kind == BACKWARD_INPUT:
        return backward_input_count(region, n_rows, width, step)
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
def _run_block(
    block: Word, regions: Record, program: Record, step: Record, memory: Record, team: Words,
    member: Word,
) -> None:  # fmt: skip
    """Run the tasks of a phase's regions that are of one block of rows."""
    i, end = regions
    for j in range(i, end):
        parts, each = row_parts(program[j], step), parts_of_block(program[j], step)
        n_apart = _counted(team, program, j) // parts
        for p in range(n_apart):
            for q in range(block * each, min((block + 1) * each, parts)):
                _run(p * parts + q, program[j], step, memory, team, member)


@device_function
def work_off(team: Words, program: Record, step: Record, memory: Record, member: Word) -> None:
    """Run tasks until no range has any left: the member's own first, then the others'.

    A follower is here because its own range had tasks, so it has one of them.
    """
    n_done = 0
    n_ranges = shared_get(team, RANGES)
    for turn in range(n_ranges):
        owner = (member + turn) % n_ranges
        place = claim(team, owner)
        while place >= 0:
            regions = shared_get(team, REGION), shared_get(team, REGIONS_END)
            unit, task = _find(place, owner, regions, program, step, team)
            if goes_by_rows(program[unit], step):
                _run_block(task, regions, program, step, memory, team, member)
            else:
                _run(task, program[unit], step, memory, team, member)
            n_done += 1
            place = claim(team, owner)
    if n_done > 0:
        shared_add(team, DONE, n_done)


@device_function
def count_all(team: Words, program: Record, step: Record, memory: Record) -> None:
    """Count the tasks of each region, behind the shared words of the team."""
    for i in range(len(program)):
        count = _task_count(program[i], step, panel_columns(memory))
        team[len(team) - len(program) + i] = count


@device_function
def _counted(team: Words, program: Record, i: Word) -> Word:
    """How many tasks a region has, by `count_all`."""
    return team[len(team) - len(program) + i]


@device_function
def phase_end(program: Record, i: Word, step: Record) -> Word:
    """The region behind those that, from i on, members go through without meeting: block of rows
    by block, or since they do not need each other."""
    end = i + 1
    by_rows = goes_by_rows(program[i], step)
    while end < len(program) and goes_by_rows(program[end], step) == by_rows:
        if not by_rows and program[end].joins == 0:
            break
        end += 1
    return end


@device_function
def _units_end(regions: Record, program: Record, step: Record) -> Word:
    """The unit behind those that a phase's tasks are of: its regions, or all its blocks of rows."""
    i, end = regions
    return i + 1 if goes_by_rows(program[i], step) else end


@device_function
def _share(
    unit: Word, member: Word, n_ranges: Word, program: Record, step: Record, team: Words
) -> tuple[Word, Word]:
    """A member's first task of a unit, of the present part, and how many it has."""
    n_all = n_blocks(step) if goes_by_rows(program[unit], step) else _counted(team, program, unit)
    first = step.part * n_all // step.n_parts
    n = (step.part + 1) * n_all // step.n_parts - first
    begin = member * n // n_ranges
    return first + begin, (member + 1) * n // n_ranges - begin


@device_function
def _find(
    place: Word, owner: Word, regions: Record, program: Record, step: Record, team: Words
) -> tuple[Word, Word]:
    """The unit and the task that stand at a place of a member's range."""
    unit = regions[0]
    n_ranges = shared_get(team, RANGES)
    begin, n = _share(unit, owner, n_ranges, program, step, team)
    while place >= n:
        place -= n
        unit += 1
        begin, n = _share(unit, owner, n_ranges, program, step, team)
    return unit, begin + place


@device_function
def run_phase(
    team: Words, program: Record, i: Word, end: Word, step: Record, memory: Record
) -> None:
    """Run regions i .. end - 1, or their parts, as the leader: alone, or with the team's help."""
    units_end = _units_end((i, end), program, step)
    n_tasks, is_small = 0, True
    for unit in range(i, units_end):
        _, n = _share(unit, 0, 1, program, step, team)
        n_tasks += n
        if units_end < end or not _is_small(program[unit], step, n):
            is_small = False
    # One way for all, since each place that calls tasks costs half a second of compiling.
    n_helping = 1 if is_small or n_tasks == 1 else min(step.n_members, n_tasks)
    announce(team, (i, end), n_helping)
    for member in range(n_helping):
        n_offered = 0
        for unit in range(i, units_end):
            _, n = _share(unit, member, n_helping, program, step, team)
            n_offered += n
        offer(team, member, n_offered)
    work_off(team, program, step, memory, 0)
    spins = 0
    while shared_get(team, DONE) < n_tasks and shared_get(team, FAILED) == 0:
        spins = wait(spins, step.yield_address)


@kernel
def count_tasks(
    tasks: Words, alone: Words, phases: Words, program: Record, steps: Record, width: Word
) -> None:
    """How many tasks each region of a program has, whether the leader does it alone, and which
    regions members go through without meeting.

    Parameters
    ----------
    tasks, alone, phases : ndarray of int64, shape (n_regions,)
        Where rows go through a phase by blocks, each of its regions has as many tasks as blocks.
    program : ndarray of REGION
    steps : ndarray of STEP, shape (1,)
        Of a batch of `n_rows` rows.
    width : int
        Columns of a panel.
    """
    step = steps[0]
    end, phase = 0, -1
    for i in range(len(program)):
        if i == end:
            end, phase = phase_end(program, i, step), phase + 1
        phases[i] = phase
        tasks[i] = _task_count(program[i], step, width)
        alone[i] = _is_small(program[i], step, tasks[i])
        if goes_by_rows(program[i], step):
            tasks[i] = n_blocks(step)
            alone[i] = tasks[i] == 1
