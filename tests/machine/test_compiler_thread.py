"""Compilation in a thread of its own: interrupts end the wait for it, and never the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import numba
import pytest

from fastvae.kernels.machine import compiler_thread
from fastvae.kernels.machine.compilation import kernel
from fastvae.kernels.machine.compiler_thread import compile_aside

ROOT = Path(__file__).resolve().parents[2]


def fail() -> NoReturn:
    raise LookupError("no such type")


class SlowWork:
    """Work that takes until it is told to end; the main thread is interrupted meanwhile."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self) -> str:
        threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
        assert self.may_end.wait(60)
        time.sleep(0.2)
        self.has_ended.set()
        return "done"


def interrupted_work() -> SlowWork:
    """Work whose caller was interrupted: it goes on in its thread until it may end."""
    work = SlowWork()
    with pytest.raises(KeyboardInterrupt):
        compile_aside(work)
    return work


def test_results_and_errors_reach_the_caller():
    assert compile_aside(divmod, 7, 3) == (2, 1)
    with pytest.raises(LookupError, match="no such type"):
        compile_aside(fail)


def test_work_within_work_is_done_at_once():
    names = compile_aside(lambda: compile_aside(lambda: threading.current_thread().name))
    assert names == "fastvae-compiler"


def test_an_interrupt_ends_the_wait_and_the_next_call_waits_for_the_rest():
    work = interrupted_work()
    assert not work.has_ended.is_set()
    work.may_end.set()
    assert compile_aside(work.has_ended.is_set)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_waits_for_the_work_and_its_child_may_go_on():
    work = interrupted_work()
    work.may_end.set()
    child = os.fork()
    if child == 0:
        os._exit(42 if compile_aside(work.has_ended.is_set) else 1)
    assert work.has_ended.is_set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert compile_aside(int, "3") == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_an_interrupt_while_a_fork_waits_comes_after_it():
    work = interrupted_work()
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    threading.Timer(0.3, work.may_end.set).start()

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(30)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fork()
    assert time.monotonic() - start < 20
    assert work.has_ended.is_set()
    assert compile_aside(int, "3") == 3


INTERRUPTED_AFTER_FORK = """
import ctypes, os, threading
import numba
for hook in ("after_in_parent", "after_in_child"):  # called before those of the engine
    os.register_at_fork(**{hook: ctypes.pythonapi.PyErr_SetInterrupt})
from fastvae.kernels.machine.compiler_thread import compile_aside

child = -1
try:
    child = os.fork()
except KeyboardInterrupt:
    pass
thread = threading.Thread(target=compile_aside, args=(int, "3"), daemon=True)
thread.start()
thread.join(10)
if child == 0:
    os._exit(thread.is_alive())
assert not thread.is_alive()
assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_an_interrupt_as_a_fork_ends_leaves_no_lock_held():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AFTER_FORK], cwd=ROOT, timeout=30, check=False
    )
    assert done.returncode == 0


FORKED = """
import os, threading, time
from fastvae.kernels import threading_layer
from fastvae.kernels.machine.layers import pool

def start_pool():
    with pool.turn:
        beginning.set()
        time.sleep(0.5)  # the fork is waiting now
        threading_layer()

beginning = threading.Event()
thread = threading.Thread(target=start_pool)
thread.start()
beginning.wait()
child = os.fork()
if child == 0:
    os._exit(0 if pool.works_alone else 1)
assert os.waitpid(child, 0)[1] == 0
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_what_a_child_may_do_is_seen_after_the_wait_for_other_threads():
    """One of them may start the pool of threads meanwhile."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "omp"}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=ROOT, env=environment, timeout=100, check=False
    )
    assert done.returncode == 0


SMALL_STACKS = """
import threading
threading.stack_size(2**16)
from fastvae.kernels.machine.compilation import kernel

@kernel
def table(x):
    return [x + i for i in range(3)], str(x), x ** 3

assert table(5) == ([5, 6, 7], "5", 125)
assert threading.stack_size() == 2**16
"""


def test_the_stack_is_large_where_new_threads_have_small_ones():
    """LLVM needs more than the least that a program may set, for many threads to fit."""
    done = subprocess.run([sys.executable, "-c", SMALL_STACKS], cwd=ROOT, timeout=100, check=False)
    assert done.returncode == 0


def test_without_a_thread_the_caller_compiles(monkeypatch):
    def no_thread(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert compile_aside(lambda: threading.current_thread() is threading.main_thread())


def test_kernels_are_compiled_aside_once_and_then_called_directly(monkeypatch):
    calls = []

    def aside(work, *arguments):
        calls.append(arguments)
        return compile_aside(work, *arguments)

    monkeypatch.setattr("fastvae.kernels.machine.compilation.compile_aside", aside)

    @kernel
    def plus_one(x):
        return x + 1

    assert [plus_one(i) for i in range(5)] == [1, 2, 3, 4, 5]
    assert calls == [(0,)]
    assert plus_one(0.5) == 1.5
    assert calls == [(0,), (0.5,)]


def test_an_error_of_the_compiler_reaches_the_caller():
    @kernel
    def no_such_attribute(x):
        return x.nothing

    for _ in range(2):
        with pytest.raises(numba.core.errors.TypingError):
            no_such_attribute(1.0)


def test_the_choice_of_the_instruction_set_outlasts_a_changed_environment(monkeypatch):
    told = compiler_thread.tell_compiler.__globals__["_TOLD"]
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    names = ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX")
    now = compile_aside(lambda: tuple(getattr(numba.config, name) for name in names))
    assert now == told


FIRST_FIT = """
import os, signal, sys, threading, time
import numpy as np
from fastvae import VAE

def interrupt():
    global sent
    time.sleep(float(sys.argv[1]))
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

def fit():
    vae.fit(np.eye(20, 8), epochs=1, batch_size=10, verbose=False)

vae = VAE.from_sizes(8, (4,), 2, seed=3)
threading.Thread(target=interrupt, daemon=True).start()
try:
    fit()
    sys.exit("it was not interrupted")
except KeyboardInterrupt:
    assert time.monotonic() - sent < 5, "interrupted too late"
"""


def first_fit(then: str, delay: float, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run a first fit that is interrupted while kernels compile, with an empty cache."""
    return subprocess.run(
        [sys.executable, "-c", FIRST_FIT + then, str(delay)],
        cwd=ROOT,
        env={**os.environ, "FASTVAE_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
def test_a_fit_that_is_interrupted_while_it_compiles_can_be_repeated(tmp_path):
    done = first_fit("fit(); print(vae.epochs)", 1.0, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
@pytest.mark.parametrize("delay", [0.3, 1.0, 2.0, 3.0])
def test_the_process_can_end_while_kernels_are_compiled(tmp_path, delay):
    done = first_fit("print('end', flush=True); sys.exit(7)", delay, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, "end\n", "")
