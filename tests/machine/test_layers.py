"""Threading layers: on each, threads and processes of all kinds get the serial bits."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from probes import layers

from fastvae import kernels
from fastvae.data import synthetic_digits
from fastvae.kernels.machine.layers import pool

expected = functools.cache(layers.expected)


@pytest.mark.slow
@pytest.mark.parametrize("way", layers.WAYS)
@pytest.mark.parametrize("layer", layers.layers())
def test_all_jobs_at_once_give_the_bits_of_one_process_alone(layer, way):
    layers.check_cell(layer, way, layers.rotated(layers.JOBS), expected())


def test_no_lock_of_pythons_is_held_where_a_child_may_be_forked():
    """As of functools.cached_property before Python 3.12: a forked child would find it held."""
    for part in ("kernels", "fastvae"):
        for path in (layers.TESTS.parent / part).rglob("*.py"):
            assert "import cached_property" not in path.read_text("utf-8"), path


STARTING = """
from numba.np.ufunc import parallel

begun, load = threading.Event(), parallel._load_threading_functions

def slowly(library):
    begun.set()
    time.sleep(0.3)
    load(library)

parallel._load_threading_functions = slowly
thread = threading.Thread(target=encode, daemon=True)
thread.start()
begun.wait()
print(fork())
thread.join()
"""
FIRST_CALL = """
import importlib.abc

begun = threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if threading.current_thread() is thread:
            begun.set()
            time.sleep(0.5)

thread = threading.Thread(target=encode, daemon=True)
sys.meta_path.insert(0, Slow())
thread.start()
begun.wait()
print(fork())
thread.join()
"""
COMPILING = """
import numba
import numpy as np

lines = [f"    s += np.sin(a * {k}) + b[{k} % 3]" for k in range(300)]
exec(chr(10).join(["def long(a, b):", "    s = 0.0", *lines, "    return s"]))
thread = threading.Thread(target=lambda: numba.njit(long)(1.0, np.ones(3)), daemon=True)
encode()
begun, compile_all = threading.Event(), numba.core.compiler.compile_extra

def seen(*arguments, **options):
    begun.set()
    return compile_all(*arguments, **options)

numba.core.compiler.compile_extra = seen
thread.start()
begun.wait()
time.sleep(0.1)
pool.works_alone = True  # the child needs code that its parent has not
print(fork())
os._exit(0)
"""
FORKING = """
import os, sys, threading, time
from fastvae import VAE
from fastvae.kernels.machine.layers import pool

def encode():
    VAE.from_sizes(5, (4,), 2).encode([[0.5] * 5])

def fork():
    child = os.fork()
    if child == 0:
        encode()
        os._exit(42)
    deadline = time.monotonic() + 60
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    if done == (0, 0):
        os.kill(child, 9)
    return os.waitstatus_to_exitcode(done[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "meanwhile", [STARTING, FIRST_CALL, COMPILING], ids=["starting", "first call", "compiling"]
)
@pytest.mark.parametrize("layer", layers.layers())
def test_a_child_that_is_forked_in_anothers_beginnings_computes(layer, meanwhile):
    """While a thread starts the pool, makes the first call, or compiles the program's own code."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING + meanwhile],
        env=os.environ | {"NUMBA_THREADING_LAYER": layer},
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["42"], done.stderr


@pytest.fixture
def alone():
    """A process that may not launch."""
    pool.works_alone = True
    yield
    pool.works_alone = False


def public_kernels(dtype) -> list[bytes]:
    """What each public kernel computes that is a parallel region of its own."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 70, 37)).astype(dtype)
    x = rng.random((70, 37)).astype(dtype)
    out = [np.zeros((70, 37), dtype) for _ in range(10)]
    rows = [np.zeros(70) for _ in range(3)]
    kernels.reparameterise(out[0], a, b, c)
    kernels.reparameterise_backward(out[1], out[2], a, b, c)
    kernels.kl_divergence(rows[0], a, b)
    kernels.kl_divergence_backward(out[3], out[4], a, b, 0.3)
    kernels.bernoulli_loss(rows[1], a, x)
    kernels.bernoulli_loss_backward(out[5], a, x, 0.7)
    kernels.gaussian_loss(rows[2], a, x)
    kernels.activation_forward(out[6], a, kernels.ACTIVATIONS["tanh"])
    kernels.activation_backward(out[7], b, out[6], kernels.ACTIVATIONS["tanh"])
    kernels.normal(out[8], 1, 2, 3)
    kernels.uniform(out[9], 1, 2, 3)
    digits = synthetic_digits(40, seed=5).images
    return [array.tobytes() for array in [*out, *rows, digits]]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_process_that_works_alone_gets_the_bits_of_public_kernels(dtype, request):
    expected = public_kernels(dtype)
    request.getfixturevalue("alone")
    assert kernels.get_num_threads() == 1
    assert public_kernels(dtype) == expected
