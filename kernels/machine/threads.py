"""Threads: how many.

One number holds for all Python threads (`set_num_threads`); a call may have its own
(`use_threads`), and a Python thread for which the program has set a number through Numba keeps it.
"""

import numbers
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import config
from numba.np.ufunc import parallel

from .cpus import check_number, cpu_quota, usable_cpus
from .layers import meet, pool

check_number("NUMBA_NUM_THREADS", config.NUMBA_NUM_THREADS)  # a file may have set it

_MEMBERS_PER_CPU = 2


class _Thread(threading.local):
    """What a Python thread was told. Numba keeps a number for each, at first that of its pool."""

    own: int | None = None
    told: int | None = None


_mine = _Thread()
_default = int(parallel.NUM_THREADS)
if "NUMBA_NUM_THREADS" not in os.environ:
    _default = min(_default, cpu_quota() or _default)  # less only if Numba was imported before


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels use, whatever Python thread calls them.

    A Python thread that has set its own, by `numba.set_num_threads` or for the time of a
    `fit(n_threads=...)`, keeps it.

    Parameters
    ----------
    n : int
        From 1 to the number of threads at start: `NUMBA_NUM_THREADS` if it is set, else the CPUs
        that this process may run on, or those that its control group's quota allows.

    Raises
    ------
    ValueError
        If n is not in that range.
    """
    global _default
    _default = _checked(n)
    if _mine.own is None:
        _tell(_default)


@contextmanager
def use_threads(n: int | None) -> Iterator[None]:
    """Use n threads in calls of this Python thread within the block; None changes nothing.

    Raises
    ------
    ValueError
        As `set_num_threads` does.
    """
    if n is None:
        yield
        return
    n = _checked(n)
    settle()
    before = _mine.own, _mine.told, parallel._get_num_threads()
    _mine.own = n
    _tell(n)
    try:
        yield
    finally:
        _mine.own, _mine.told, numbas = before
        parallel._set_num_threads(numbas)


def _checked(n: int) -> int:
    most = max_threads()
    if isinstance(n, bool) or not isinstance(n, numbers.Integral) or not 1 <= n <= most:
        raise ValueError(
            f"threads must be a whole number from 1 to {most} (set NUMBA_NUM_THREADS before "
            f"the start for more); got {n!r}"
        )
    return int(n)


def _tell(n: int) -> None:
    meet()
    parallel._set_num_threads(n)
    _mine.told = n


def settle() -> None:
    """Let Numba know, before a launch, how many threads the calling Python thread uses."""
    wanted = _mine.own or _default
    if _mine.told != wanted:
        meet()
        if parallel._get_num_threads() == (_mine.told or max_threads()):
            parallel._set_num_threads(wanted)
        _mine.told = wanted


def get_num_threads() -> int:
    """Return the number of threads that kernels use where this Python thread calls them.

    Numba's own function takes a lock each time, which processes forked from each other share: one
    that is killed or interrupted meanwhile would stop all others. It is needed once, to start.
    """
    if pool.works_alone:
        return 1
    settle()
    return int(parallel._get_num_threads())


def team_size() -> int:
    """Return the number of members of a team: the threads that are set, if there are CPUs for them.

    Those that wait would only take the processor from those that work: on two CPUs, 64 members took
    1.8 times as long as two; four take 1.05 times as long, and 64 threads with that many members
    1.08 times.
    """
    n = get_num_threads()
    return n if n <= _MEMBERS_PER_CPU else min(n, _MEMBERS_PER_CPU * usable_cpus())


def max_threads() -> int:
    """Return the number of threads that were set up at start."""
    return int(parallel.NUM_THREADS)


def _after_fork_in_child() -> None:
    _mine.told = None  # the thread meets the pool as a new one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
