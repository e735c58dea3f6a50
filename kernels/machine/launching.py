"""Launching: how Python calls a kernel with a `prange`, on every threading layer.

All calls of parallel kernels come this way. Where several Python threads may not launch at once
they take turns, held for the region only. In a process that may not launch at all, the kernel is
compiled a second time, `prange` being a `range` then, and runs in the calling thread.
"""

import functools
from types import FunctionType
from typing import Any

from numba import prange as prange

from .compilation import kernel
from .layers import pool
from .threads import settle


def launch(parallel: Any, *arguments: Any) -> None:
    """Call a kernel that was compiled by `parallel_kernel`."""
    if pool.works_alone:
        _alone(parallel)(*arguments)
        return
    settle()
    if pool.takes_turns:
        with pool.turn:
            parallel(*arguments)
    else:
        parallel(*arguments)


def launched(parallel: Any) -> Any:
    """Return the compiled function that `launch` calls in this process: the kernel, or its twin."""
    return _alone(parallel) if pool.works_alone else parallel


@functools.cache
def _alone(parallel: Any) -> Any:
    """The same kernel without threads, under another name, by which the cache on disk knows it."""
    function = parallel.py_func
    name = f"{function.__name__}_alone"
    alone = FunctionType(function.__code__.replace(co_name=name), function.__globals__, name)
    alone.__qualname__ = name
    return kernel(alone)
