"""Steps: a run of passes over batches behind one call.

A step takes a batch through the regions of a program: gather, forward, and in training the latent
noise, backward and the update of the parameters. Every architecture, activation, likelihood,
optimiser and pass runs through this one compiled function.
"""

import functools

import numpy as np
from numba import prange, types
from numba.np.numpy_support import from_dtype

from ..machine.compilation import address_of, device_function, kernel, parallel_kernel
from ..machine.kinds import Record, Word, Words
from ..machine.launching import launch
from ..machine.memory import cast, get, lane_count, load, pointer, stack, store
from ..machine.subnormals import flush_subnormals, restore_mode
from ..machine.team import (
    ARRIVED,
    FAILED,
    FINISHED,
    call_at,
    has_tasks,
    new_team,
    shared_add,
    shared_get,
    shared_set,
    wait,
)
from ..machine.vectors import constant
from ..maths.optimizers import set_rates
from .loss_tasks import LOSS_TOTAL
from .records import REGION, STEP, Memory
from .regions import count_all, memory_type, phase_end, run_phase, work_off


@device_function
def _reads_data(program: Record) -> Word:
    """Whether a region works on the data, whose zeros it may leave out."""
    n_reading = 0
    for i in range(len(program)):
        n_reading += program[i].reads_data
    return n_reading > 0


@device_function
def _all_finite(values: Record) -> Word:
    base = pointer(values)
    count = lane_count(base)
    lanes = stack(base, 16)
    total = constant(load(base, 0), 0.0)
    for e in range(0, values.size, count):  # an arena is whole cache lines
        value = load(base, e)
        total = total + (value - value)
    store(lanes, 0, total)
    rest = cast(base, 0.0)
    for j in range(count):
        rest += get(lanes, j)
    return rest == 0


@device_function
def _follow(team: Words, program: Record, step: Record, memory: Record, member: Word) -> None:
    spins = 0
    while shared_get(team, FINISHED) == 0:
        if has_tasks(team, member):
            work_off(team, program, step, memory, member)
            spins = 0
        else:
            spins = wait(spins, step.yield_address)


@device_function
def _lead(team: Words, program: Record, step: Record, arrays: Record, memory: Record) -> None:
    if step.skip_zeros != 0 and step.weights_finite == 0 and _reads_data(program):
        # Skipping zeros would hide an infinite weight.
        step.skip_zeros = _all_finite(arrays.parameters)
    n_counted = np.int64(-1)
    for s in range(step.n_steps):
        step.first_row = (step.first_step + s) * step.batch_size
        step.n_rows = min(step.batch_size, len(arrays.order) - step.first_row)
        if step.n_rows != n_counted:
            count_all(team, program, step, memory)
            n_counted = step.n_rows
        step.draw = np.uint64(arrays.draws[0])
        if step.rule.optimizer >= 0:
            set_rates(step.rule, arrays.schedule[s].learning_rate, step.updates_before + s + 1)
            step.beta = arrays.schedule[s].beta
        i = 0
        while i < len(program):
            end = phase_end(program, i, step)
            run_phase(team, program, i, end, step, memory)
            i = end
        if shared_get(team, FAILED) != 0:
            return
        arrays.draws[0] += 1
        if arrays.totals.size > 0 and not np.isfinite(arrays.totals[LOSS_TOTAL]):
            return


@device_function
def _pointers(m: Record) -> Record:
    """The memory as tasks take it: a word for each array instead of seven."""
    return Memory(
        pointer(m.parameters), pointer(m.moment1), pointer(m.moment2), pointer(m.gradient),
        pointer(m.work), pointer(m.out), pointer(m.by_row), pointer(m.by_column),
        pointer(m.reconstruction), pointer(m.kl), pointer(m.partial), pointer(m.totals),
        pointer(m.schedule), pointer(m.draws), pointer(m.order), m.sources,
    )  # fmt: skip


@kernel
def run_member(team: Words, program: Record, steps: Record, arrays: Record) -> None:
    """One member's part of `run_steps`: to lead, if it is the first to arrive, or to follow."""
    member = shared_add(team, ARRIVED, 1)
    memory = _pointers(arrays)
    if member == 0:
        _lead(team, program, steps[0], arrays, memory)
        shared_set(team, FINISHED, 1)
    else:
        _follow(team, program, steps[0], memory, member)


def member_types(dtype: np.dtype | type) -> tuple[types.Type, ...]:
    """Return the types that `run_member` takes for arenas of this dtype."""
    team = types.Array(types.int64, 1, "C")
    program, steps = (types.Array(from_dtype(record), 1, "C") for record in (REGION, STEP))
    return team, program, steps, memory_type(dtype)


def steps_types(dtype: np.dtype | type) -> tuple[types.Type, ...]:
    """Return the types that `run_steps` takes for arenas of this dtype."""
    *others, memory = member_types(dtype)
    return types.int64, *others, types.Tuple(memory.types)


@functools.cache
def member_address(dtype: np.dtype | type) -> int:
    """Compile `run_member` for arenas of this dtype, if need be, and return its address."""
    return address_of(run_member, member_types(dtype))


@parallel_kernel
def run_steps(address: Word, team: Words, program: Record, steps: Record, *arrays: Record) -> None:
    """Run the steps of a pass.

    Step s takes the rows order[s * batch_size : (s + 1) * batch_size] of the data. What is
    minimised is the batch mean of reconstruction_weight * reconstruction + beta * KL, the
    estimator of Kingma & Welling (2014), equation 10, with one draw per row. The run ends after a
    step that makes the loss infinite or NaN, where totals are kept.

    Parameters
    ----------
    address : int
        `member_address` of the arenas' dtype.
    team : ndarray of int64
        A new team (`new_team`) of as many members as the step says.
    program : ndarray of REGION
        The regions of one batch.
    steps : ndarray of STEP, shape (1,)
        The numbers of the run.
    *arrays : ndarray
        The fields of a `Memory`.
    """
    memory = Memory(*arrays)
    for _ in prange(steps[0].n_members):
        mode = flush_subnormals()
        if call_at(address, (team, program, steps, memory)) != 0:
            # No member may wait for tasks that will never be done.
            shared_set(team, FAILED, 1)
            shared_set(team, FINISHED, 1)
        restore_mode(mode)


def run_program(address: int, program: np.ndarray, steps: np.ndarray, memory: Memory) -> None:
    """Run a program as `run_steps` does, with a team of its own.

    Raises
    ------
    RuntimeError
        If a kernel failed.
    """
    team = new_team(int(steps["n_members"][0]), len(program))
    launch(run_steps, address, team, program, steps, *memory)
    if team[FAILED]:
        raise RuntimeError("a kernel failed; what it wrote is not to be used")
