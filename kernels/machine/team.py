"""Teams: the threads of one call, which go through its regions together.

A parallel region of Numba costs 2 to 4 us with TBB and 80 us with workqueue, and a training
step has 20 regions. So a call starts one region only, with one member per thread. The first to
arrive leads: it runs the serial parts and offers the tasks of some regions at a time, a phase. The
others follow: they wait for tasks, at 0.3 us a phase.

Nothing waits for a member that has not arrived. Tasks are claimed one by one, from the member's
own range first (its part of the weights is in its cache), then from the others' ranges. The
leader can do all of them alone, and waits only for tasks that a follower has begun. Which member
does a task does not change its result.

Waiting members spin, and offer their processor to others when that takes long; they wait no
longer than the call lasts.

Why it is right, also where memory is weakly ordered. A store with release makes all that its thread
did before visible to whoever reads the stored value, or one that a read-modify-write chain made of
it, with acquire. All shared words are read and written so; x86 needs nothing for it, Arm has
`ldar`, `stlr` and `ldaddal`. What else members share is plain memory, never written and then read
without one of these pairs between: a step's numbers and how many tasks its regions have, by the
leader, before it offers any; results and scratch, by who has the task. A step's number of members
and addresses are written before the call.

- A task is done once. A range's word holds the next task and the end; a claim adds 1 to it in one
  piece, so that no two members get the same number; a number at or past the end is not a task. A
  word is set anew only when its range is used up and all its tasks are done. A member that looked
  before and adds after may so take a task of the new phase: it counts as any other, for it reads
  REGION, REGIONS_END and RANGES after its claim, which together with its place say which task it
  is.
- Who runs a task sees its region. The leader writes its numbers, REGION, REGIONS_END and RANGES,
  then the words of the ranges (release); a claim (acquire, release) reads one of these words or
  what other claims made of it, so all that the leader wrote before is visible, the region's number
  with it. REGION cannot change before the task is done, since the leader waits for DONE. Who looks
  for tasks of other members has read a RANGES of this phase or of an earlier one, whose words exist
  as well: those that have no range now are used up.
- Who runs a task sees the results that it needs. They are those of earlier phases, or of its own
  block. Each member adds its finished tasks to DONE (release); the leader reads the full count
  (acquire) before it offers the next phase, and so hands on what it has seen by the words of the
  ranges.
- DONE counts the present phase only. The leader zeroes it before it sets the words, so nobody
  claims in between. A member adds what it has done when it finds no more, and never tasks of two
  phases at once: while it has not added those of the first, that phase has not ended.
- The end. The leader sets FINISHED (release) when all is done, or FAILED when a task has failed; a
  follower leaves when it reads FINISHED (acquire) and has no task in hand, and the call returns
  when all members have left. Who arrives later finds it set.
"""

import ctypes
import functools
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compilation import device_function
from .isa import LINE_PAIR_WORDS, PROCESSOR
from .kinds import Record, Word, Words
from .vectors import intrinsic

_SPACING = LINE_PAIR_WORDS  # from one shared word to the next, so that none shares its lines
ARRIVED, FINISHED, FAILED, REGION, DONE, CLAIMS = (place * _SPACING for place in range(6))
RANGES, REGIONS_END = REGION + 1, REGION + 2
"""Shared words: members that arrived, whether the leader is through, whether a call failed, the
first region of those that are worked on and, on its lines, how many members have a range, and the
region behind the last; tasks that are done; then for each member the next place of its range and,
in the high half, the end."""
_HALF = 32
_SPINS = 200
"""Looks before a waiting member offers its processor, about 10 us."""


def new_team(n_members: int, n_regions: int) -> np.ndarray:
    """Return the shared words of a team, zeroed, and behind them one for each region."""
    return np.zeros(CLAIMS + n_members * _SPACING + n_regions, np.int64)


@functools.cache
def yield_address() -> int:
    """Return the address of the system's function that offers the processor to other threads."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def _are_words(words: Any) -> bool:
    """Whether a Numba type is that of shared words, which are read as int64 side by side."""
    return isinstance(words, types.Array) and words == types.Array(types.int64, 1, "C")


def _word(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def shared_get(typingctx: Any, words: Any, index: Any) -> Any:
    """words[index] (int64), with all that its writer had written before."""

    if not _are_words(words):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _word(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(words, types.intp), lower


@intrinsic
def shared_set(typingctx: Any, words: Any, index: Any, value: Any) -> Any:
    """Store words[index] = value (int64), after all that this thread has written."""

    if not _are_words(words):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _word(context, builder, sig.args[0], args[0], args[1])
        builder.store_atomic(args[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.int64), lower


@intrinsic
def shared_add(typingctx: Any, words: Any, index: Any, value: Any) -> Any:
    """Add to words[index] (int64) in one piece; return what stood there before."""

    if not _are_words(words):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _word(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", place, args[2], "acq_rel")

    return types.int64(words, types.intp, types.int64), lower


@intrinsic
def _pause(typingctx: Any) -> Any:
    """Tell the processor that this thread spins."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(32)
        if PROCESSOR.pause is not None:
            name, operands = PROCESSOR.pause
            kind = ir.FunctionType(ir.VoidType(), [word] * len(operands))
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(function, [word(operand) for operand in operands])
        return context.get_dummy_value()

    return types.void(), lower


@intrinsic
def _call_plain(typingctx: Any, address: Any) -> Any:
    """Call the C function `int f(void)` at an address."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), lower


@intrinsic
def call_at(typingctx: Any, address: Any, arguments: Any) -> Any:
    """Call the compiled kernel at an address with a tuple of arguments; return its status, 0 if
    it went well.

    Were it linked into each of the functions around it, LLVM would optimise and translate all
    tasks several times, which took 9 s of 21.
    """
    kinds = tuple(types.unliteral(kind) for kind in arguments)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        convention = context.call_conv
        kind = convention.get_function_type(types.none, kinds)
        function = builder.inttoptr(args[0], kind.as_pointer())
        values = cgutils.unpack_tuple(builder, args[1])
        status, _ = convention.call_function(builder, function, types.none, kinds, values)
        return builder.zext(builder.not_(status.is_ok), ir.IntType(64))

    return types.int64(types.intp, types.BaseTuple.from_types(kinds)), lower


@device_function
def wait(spins: Word, yield_to: Word) -> Word:
    """Wait a moment; return the number of moments waited."""
    if spins < _SPINS:
        _pause()
    else:
        _call_plain(yield_to)
    return spins + 1


@device_function
def announce(team: Words, regions: Record, n_members: Word) -> None:
    """Say which regions come next, the first and that behind the last, and how many members have a
    range of their tasks, which is offered then."""
    region, end = regions
    shared_set(team, REGION, region)
    shared_set(team, REGIONS_END, end)
    shared_set(team, RANGES, n_members)
    shared_set(team, DONE, 0)


@device_function
def offer(team: Words, member: Word, n_tasks: Word) -> None:
    """Offer tasks 0 .. n_tasks - 1 of a member's range."""
    shared_set(team, CLAIMS + member * _SPACING, n_tasks << _HALF)


@device_function
def has_tasks(team: Words, member: Word) -> Word:
    """Whether tasks of a member's range are open."""
    word = shared_get(team, CLAIMS + member * _SPACING)
    return word & ((1 << _HALF) - 1) < word >> _HALF


@device_function
def claim(team: Words, member: Word) -> Word:
    """Claim the next task of a member's range; -1 if none is left.

    A task that was claimed keeps the region from ending until it is counted in DONE.
    """
    if not has_tasks(team, member):
        return np.int64(-1)
    word = shared_add(team, CLAIMS + member * _SPACING, 1)
    task = word & ((1 << _HALF) - 1)
    return task if task < word >> _HALF else np.int64(-1)
