"""Threads, forks and pools of processes on each of Numba's threading layers.

A cell is a layer, a way to run several jobs at once, and the jobs: a process of its own with a time
limit, in which workers do the jobs in an order of their own each. What each worker computes must
be, to the bit, what one process computes alone on the default layer.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from model_checks import parameters, pixel_rows, small_vae

from fastvae import VAE, kernels

TITLE = "Threading layers, threads and processes"
TEXT = """
Jobs (`fit`, `encode`, `sample`, `elbo`) are run on each threading layer of Numba (TBB, OpenMP,
workqueue) by several workers at once: threads that share a model, or have one each; children that
are forked (of a process that has trained, while it trains, and by another thread than the main
one), spawned, and made by a fork server; loky; and pools within pools. A cell is one layer, one way
and one job, or a random sequence of jobs for each worker. Every result must be equal, to the bit,
to that of one process alone; the only errors allowed are Python's, of a second `fit` on one model
and of daemonic processes that have children. A cell that takes 120 seconds counts as hung.
"""
COUNT = 252

ROWS = pixel_rows(600, 37)
JOBS = ("fit", "encode", "sample", "elbo")
TESTS = Path(__file__).resolve().parents[1]
LIMIT = 120
"""Seconds that a cell may take."""
WORKERS = 3

Tasks = Sequence[Sequence[str]]
"""The jobs of each worker, in their order."""


def layers() -> list[str]:
    """The layers that can be had here."""
    found = ["workqueue"]
    if importlib.util.find_spec("numba.np.ufunc.omppool"):
        found.insert(0, "omp")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("tbb")
        found.insert(0, "tbb")
    return found


def digest(*arrays: object) -> str:
    seen = hashlib.sha256()
    for array in arrays:
        seen.update(array.tobytes() if hasattr(array, "tobytes") else repr(array).encode())
    return seen.hexdigest()[:12]


def train(vae: VAE) -> None:
    vae.fit(ROWS, epochs=2, batch_size=50, validation=ROWS[:90], verbose=False)


def do(job: str, vae: VAE | None = None) -> str:
    """Do a job, on a new model if none is given; return its name and a digest of its result."""
    vae = small_vae() if vae is None else vae
    if job == "fit":
        train(vae)
        return f"fit {digest(*parameters(vae).values())}"
    results = {
        "encode": lambda: vae.encode(ROWS),
        "sample": lambda: [vae.sample(700, seed=3), kernels_alone()],
        "elbo": lambda: [vae.elbo(ROWS, n_samples=2, seed=1)],
    }[job]()
    return f"{job} {digest(*results)}"


def kernels_alone() -> object:
    """What a public kernel computes that is a parallel region of its own."""
    import numpy as np

    out = np.empty(5000)
    kernels.normal(out, 1, 2, 3)
    return out


def do_all(jobs: Sequence[str]) -> list[str]:
    return [do(job) for job in jobs]


def expected() -> dict[str, str]:
    """What each job gives, and so many trainings of one model after each other, alone."""
    found = {job: do(job) for job in JOBS}
    vae = small_vae()
    for n in range(1, 3 * WORKERS + 1):
        train(vae)
        found[f"{n} fits"] = f"{n} fits {digest(*parameters(vae).values())}"
    return found


# --- ways: each returns what its workers found ------------------------------------------------


def in_pool(pool: Executor, function: Callable[..., list[str]], tasks: Tasks) -> list[str]:
    with pool:
        return [found for result in pool.map(function, tasks) for found in result]


def threads_on_one_model(tasks: Tasks) -> list[str]:
    read, trained, fits = small_vae(), small_vae(), []

    def work(jobs: Sequence[str]) -> list[str]:
        found = []
        for job in jobs:
            if job != "fit":
                found.append(do(job, read))
                continue
            try:
                train(trained)
                fits.append(1)
            except RuntimeError as error:
                if "is being trained" not in str(error):
                    raise
        return found

    found = in_pool(ThreadPoolExecutor(len(tasks)), work, tasks)
    if fits:
        found.append(f"{len(fits)} fits {digest(*parameters(trained).values())}")
    return found


def threads_on_several_models(tasks: Tasks) -> list[str]:
    return in_pool(ThreadPoolExecutor(len(tasks)), do_all, tasks)


def forked(function: Callable[[], list[str]]) -> Callable[[], list[str]]:
    """Fork; return what waits for the child and returns what it found."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)

    def wait() -> list[str]:
        with open(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return json.loads(text or '["a child found nothing"]')

    return wait


def fork(tasks: Tasks) -> list[str]:
    """Children of a process that has trained: quiet, of another thread, of one that is busy."""
    do("fit")
    found = in_pool(pool_of("fork", len(tasks)), do_all, tasks)
    waits = [forked(lambda: threads_on_several_models(tasks))]
    waits.append(forked(lambda: forked(lambda: do_all(tasks[0]))()))
    with ThreadPoolExecutor(1) as thread:
        waits.append(thread.submit(forked, lambda: do_all(tasks[0])).result())
    stop, vae = threading.Event(), small_vae()

    def be_busy() -> None:
        while not stop.is_set():
            vae.encode(ROWS[:3])

    busy = threading.Thread(target=be_busy)
    busy.start()
    waits += [forked(functools.partial(do_all, jobs)) for jobs in tasks]
    for wait in waits:
        found += wait()
    stop.set()
    busy.join()
    return found


def pool_of(method: str, n: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(n, multiprocessing.get_context(method))


def spawn(tasks: Tasks) -> list[str]:
    return in_pool(pool_of("spawn", len(tasks)), do_all, tasks)


def forkserver(tasks: Tasks) -> list[str]:
    return in_pool(pool_of("forkserver", len(tasks)), do_all, tasks)


def loky(tasks: Tasks) -> list[str]:
    from joblib import Parallel, delayed

    do("encode")
    results = Parallel(len(tasks), backend="loky")(delayed(do_all)(jobs) for jobs in tasks)
    return [found for result in results for found in result]


def within(method: str, jobs: Sequence[str]) -> list[str]:
    """A worker that makes a pool of its own, of threads or processes."""
    if method == "thread":
        return threads_on_several_models([jobs, jobs])
    return in_pool(pool_of(method, 2), do_all, [jobs, jobs])


def daemonic(jobs: Sequence[str]) -> list[str]:
    """What a daemonic process finds: it may have no children, but threads."""
    try:
        return in_pool(pool_of("fork", 1), do_all, [jobs])
    except AssertionError as error:
        if "daemonic" not in str(error):
            raise
    return within("thread", jobs)


def nested(tasks: Tasks) -> list[str]:
    do("fit")
    jobs = tasks[0]
    found = []
    with pool_of("fork", 2) as pool:
        for method in ("thread", "fork"):
            found += pool.submit(within, method, jobs).result()
    with ThreadPoolExecutor(2) as threads:
        for result in threads.map(within, ["fork", "spawn"], tasks[1:3]):
            found += result
    with multiprocessing.get_context("fork").Pool(1) as daemons:
        found += daemons.apply(daemonic, (jobs,))
    return found


_WAYS = (
    threads_on_one_model, threads_on_several_models, fork, spawn, forkserver, loky, nested,
)  # fmt: skip
WAYS = {way.__name__: way for way in _WAYS}


def run_cell(layer: str, way: str, tasks: Tasks) -> list[str]:
    """Run a cell in a process of its own; return what its workers found.

    Raises
    ------
    AssertionError
        If it hangs, or does not end well.
    """
    command = [sys.executable, "-W", "ignore", "-m", "probes.layers", way, json.dumps(tasks)]
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "3"}
    cell = f"{layer}, {way}, {tasks}"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        cwd=TESTS, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{cell}: hangs") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # children that hang, too
    assert process.returncode == 0, f"{cell}: ends with {process.returncode}\n{errors[-3000:]}"
    used, found = json.loads(output.splitlines()[-1])  # TBB prints lines of its own
    assert used == layer, f"{cell}: runs on {used}"
    return found


def check_cell(layer: str, way: str, tasks: Tasks, right: dict[str, str]) -> int:
    """Run a cell and compare what its workers found; return how many results there were."""
    found = run_cell(layer, way, tasks)
    wrong = set(found) - set(right.values())
    assert not wrong, f"{layer}, {way}, {tasks}: {wrong}"
    assert found, f"{layer}, {way}, {tasks}: nothing was found"
    return len(found)


def rotated(jobs: Sequence[str]) -> list[list[str]]:
    """The same jobs for each worker, each beginning with another."""
    return [[*jobs[k % len(jobs) :], *jobs[: k % len(jobs)]] for k in range(WORKERS)]


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Run cells: first each layer, way and job by itself, then random sequences of jobs.

    Yields
    ------
    Counter
        Cells that were passed, and results that were equal.

    Raises
    ------
    AssertionError
        If a cell hangs, crashes, raises, or finds other bits.
    """
    chance, counted, right = random.Random(seed), Counter[str](), expected()
    pairs = [(layer, way) for layer in layers() for way in WAYS]
    single = [(*pair, rotated([job])) for job in JOBS for pair in pairs]
    for number in range(count):
        if number < len(single):
            layer, way, tasks = single[number]
        else:
            layer, way = chance.choice(pairs)
            tasks = [chance.choices(JOBS, k=chance.randint(1, 3)) for _ in range(WORKERS)]
        counted["results equal to those of one process alone"] += check_cell(
            layer, way, tasks, right
        )
        counted["cells passed"] += 1
        yield counted


def main() -> None:
    """Be the process of a cell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("tasks", type=json.loads)
    args = parser.parse_args()
    found = WAYS[args.way](args.tasks)
    print(json.dumps([kernels.threading_layer(), found]), flush=True)


if __name__ == "__main__":
    main()
