"""Threads: how many, and on which of Numba's threading layers.

`tbb` is wanted (safe to fork and to call from several Python threads), then `omp`; `workqueue`
is the last resort (80 us a region, of which a training call has one, see `team`; and it aborts
the process when two Python threads launch at once).
"""

import ctypes
import importlib.metadata
import math
import numbers
import os
import sys
import warnings
from pathlib import Path

import numba
from numba.core import config
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


def cpu_quota() -> int | None:
    """Return the CPUs that the cgroup's quota allows, rounded up; None without a quota."""
    for file in ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"):
        try:
            fields = Path(file).read_text("utf-8").split()
            if len(fields) == 1:
                fields.append(Path(file).with_name("cpu.cfs_period_us").read_text("utf-8"))
            quota, period = fields[0], float(fields[1])
            if quota not in ("max", "-1"):
                return max(1, math.ceil(float(quota) / period))
        except (OSError, ValueError):
            continue
    return None


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels of this Python thread use.

    Parameters
    ----------
    n : int
        From 1 to the number of threads at start (the CPUs that this process may run on, or
        `NUMBA_NUM_THREADS`).

    Raises
    ------
    ValueError
        If n is not in that range.
    """
    most = config.NUMBA_NUM_THREADS
    if isinstance(n, bool) or not isinstance(n, numbers.Integral) or not 1 <= n <= most:
        raise ValueError(
            f"threads must be a whole number from 1 to {most} (set NUMBA_NUM_THREADS before "
            f"the start for more); got {n!r}"
        )
    get_num_threads()
    parallel._set_num_threads(int(n))


def get_num_threads() -> int:
    """Return the number of threads that kernels of this Python thread use.

    Numba's own function takes a lock each time, which processes forked from each other share: one
    that is killed or interrupted meanwhile would stop all others. It is needed once, to start.
    """
    if not parallel._is_initialized:
        numba.get_num_threads()
    return int(parallel._get_num_threads())


def max_threads() -> int:
    """Return the number of threads that were set up at start."""
    return int(config.NUMBA_NUM_THREADS)


def threading_layer() -> str:
    """Return the threading layer in use: tbb, omp or workqueue. Starts it if need be."""
    get_num_threads()
    try:
        return str(numba.threading_layer())
    except ValueError:
        _start()
        return str(numba.threading_layer())


def _start() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaWarning)
        parallel._launch_threads()


def _respect_quota() -> None:
    quota = cpu_quota()
    if quota is not None and "NUMBA_NUM_THREADS" not in os.environ:
        numba.set_num_threads(min(quota, config.NUMBA_NUM_THREADS))


_preload_tbb()
_respect_quota()
