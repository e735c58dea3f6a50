"""Numba's threading layer: the pool of threads that runs parallel regions.

`tbb` is wanted: several Python threads may launch at once, and a forked child may go on. `omp` is
next; GNU's ends or hangs a child that was forked from a process which used it. `workqueue` is the
last resort (80 us a region, of which a training call has one, see `team`); it aborts the process
when two Python threads launch at once.

So launches on `workqueue` take turns, and a child launches nothing where that is not safe: it
works alone, without the pool, to the same bits. See `launching`.
"""

import ctypes
import importlib.metadata
import os
import sys
import threading
import warnings
from pathlib import Path

import numba
from numba.core.errors import NumbaWarning
from numba.np.ufunc import parallel


def _preload_tbb() -> None:
    """Load the TBB library that `pip install tbb` brings.

    It lies in the environment's library folder, where the dynamic loader does not look; once
    it is in the process, Numba's own loading by name finds it.
    """
    name = {"linux": "libtbb.so.12", "darwin": "libtbb.12.dylib", "win32": "tbb12.dll"}
    wanted = name.get(sys.platform)
    try:
        files = importlib.metadata.files("tbb") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == wanted:
            try:
                ctypes.CDLL(str(Path(str(file.locate())).resolve()), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                warnings.warn(f"TBB cannot be loaded: {error}", RuntimeWarning, stacklevel=2)
            return


class _Pool:
    """What is known of Numba's pool of threads, and how this process may use it."""

    def __init__(self) -> None:
        self.starter: int | None = None  # the Python thread that started it, if that was done here
        self.callers: set[int] = set()  # the Python threads that may have launched
        self.takes_turns = False
        self.turn = threading.RLock()  # a signal's handler may launch while a launch begins or ends
        self.works_alone = False


class _Fork(threading.local):
    """What the Python thread that forks leaves to the child's, which goes on in its place."""

    works_alone = False


pool = _Pool()
_fork = _Fork()


def meet() -> None:
    """Start the pool if need be, and take notice of the calling Python thread.

    Each Python thread does so before its first launch, also the one that goes on in a forked child:
    there workqueue starts its threads anew when it is asked for their number first, and is spoilt
    where two ask at once.
    """
    pool.callers.add(threading.get_ident())
    with pool.turn:
        if not parallel._is_initialized:
            pool.starter = threading.get_ident()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NumbaWarning)
                parallel._launch_threads()
        parallel._get_num_threads()
        pool.takes_turns = numba.threading_layer() == "workqueue"


def threading_layer() -> str:
    """Return the threading layer in use: tbb, omp or workqueue. Starts it if need be."""
    meet()
    return str(numba.threading_layer())


def _before_fork() -> None:
    """See whether the child may launch; `compiler_thread` has seen to it that nobody begins to.

    TBB stops its threads before the process forks and starts them anew, but only if the thread that
    forks started it and no other uses it; else its locks may be held for good in the child.
    Workqueue starts its threads anew in any case.
    """
    _fork.works_alone = pool.works_alone
    if parallel._is_initialized:
        layer, me = numba.threading_layer(), threading.get_ident()
        starter = threading.main_thread().ident if pool.starter is None else pool.starter
        is_quiet = me == starter and pool.callers & set(sys._current_frames()) <= {me}
        _fork.works_alone |= layer == "omp" or (layer == "tbb" and not is_quiet)


def _after_fork_in_child() -> None:
    pool.works_alone = _fork.works_alone


_preload_tbb()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
