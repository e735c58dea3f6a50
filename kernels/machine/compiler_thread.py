"""Compilation in a thread of its own: Ctrl-C ends the wait for it, and never the work.

Python raises KeyboardInterrupt in the main thread, between any two bytecodes. Inside Numba that
would leave locks held and tables half filled, or be lost in a callback from LLVM. So whoever needs
machine code waits while another thread compiles. After an interrupt that thread goes on; who needs
the same code next waits for the rest.
"""

import atexit
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from numba.core.compiler_lock import global_compiler_lock

from .isa import tell_compiler
from .layers import pool

Result = TypeVar("Result")

_STACK = 2**24
"""Bytes; twice what the main thread has on most systems. A page is taken when it is used."""
_turn = threading.RLock()
"""Held while something is compiled."""
_was_interrupted = threading.Event()


def compile_aside(work: Callable[..., Result], *arguments: Any) -> Result:
    """Return work(*arguments), which compiles, done by a thread that no signal reaches."""
    if _is_mine():  # a kernel that is being compiled calls another
        return work(*arguments)
    finished = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with _turn:
                tell_compiler()
                results.append(work(*arguments))
        except BaseException as error:
            errors.append(error)  # for the thread that waits
        finally:
            finished.set()

    try:
        _start(threading.Thread(target=run, name="fastvae-compiler", daemon=True))
    except RuntimeError:  # no thread can be had: the interpreter ends, or too many run
        run()
    while not finished.wait(0.1):  # on Windows, Ctrl-C is looked at in between only
        pass
    if errors:
        raise errors.pop()
    return results.pop()


def _start(thread: threading.Thread) -> None:
    """Start a thread with a stack that is large enough for LLVM, whatever the program has set."""
    before = threading.stack_size(_STACK)
    try:
        thread.start()
    finally:
        threading.stack_size(before)


def _is_mine() -> bool:
    return bool(_turn._is_owned())  # type: ignore[attr-defined]


def _fork_locks() -> tuple[Any, ...]:
    """What is held while the process forks, in the order in which it is taken elsewhere.

    A child would find the pool of threads and the tables of Numba and LLVM as they are at that
    moment, and nobody there to complete them. The program's own functions are compiled under
    Numba's lock alone.
    """
    return pool.turn, _turn, global_compiler_lock._lock


def _before_fork() -> None:
    """Let nothing start threads or compile while the process forks; put off Ctrl-C meanwhile."""
    for lock in _fork_locks():
        taken = False
        while not taken:
            try:
                lock.acquire()
            except KeyboardInterrupt:
                _was_interrupted.set()
            taken = lock._is_owned()


def _after_fork() -> None:
    if _was_interrupted.is_set():
        _was_interrupted.clear()
        # Not here: exceptions of functions that are called around a fork are dropped.
        threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGINT]).start()


@atexit.register
def _leave_compiling() -> None:
    """Where something is still compiled, let the process end without tidying up after LLVM.

    Its destructors would free what the compiling thread works with.
    """
    if _turn.acquire(blocking=False):
        _turn.release()
    elif sys.platform == "linux":
        system = ctypes.CDLL(None)
        if hasattr(system, "on_exit"):  # glibc: called with the exit status, before destructors
            system.on_exit(system._exit, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
    for _lock in _fork_locks():  # by no function in Python: Ctrl-C could end that before it begins
        os.register_at_fork(after_in_parent=_lock.release, after_in_child=_lock.release)
    os.register_at_fork(after_in_parent=_after_fork, after_in_child=_was_interrupted.clear)
