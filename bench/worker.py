"""A process that holds one contestant, ready, and works only when told to.

Thread pools of different libraries disturb each other when they share a process or spin at the
same time. So each contestant lives in a process of its own that blocks on reading its next order
from stdin, and orders go out one at a time. Orders and answers are lines of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.numpy import load_file

from bench import contestants, environment, machine
from bench.contestants import ImportanceWeighted, Parameters
from bench.rows import IWAE, LIKELIHOOD, PEAK, Row, row_named
from bench.workload import initial_parameters

_POOL_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PEAK_BLOCKS = 40
_PACKAGE = find_spec("fastvae")  # found and not imported: peers work without it
assert _PACKAGE is not None
TRAINED = Path(str(_PACKAGE.origin)).with_name("files") / (
    "pretrained/mnist_variational_autoencoder.safetensors"
)
_TRIALS = 2
_LIKELIHOOD_TRIALS, _LIKELIHOOD_SHARE = 4, 10
"""Variants of log p(x) are tried on a tenth of the rows: all their loops repeat row by row."""


Build = Callable[[Any, dict[str, Any]], Callable[[], Any]]
"""From rows and a variant's settings to its work, warmed."""


class WorkerError(RuntimeError):
    """A contestant failed; the message holds its traceback."""


class Worker:
    """The near end: starts the process, sends orders, waits for answers.

    The process inherits no settings (`bench.environment`).

    Parameters
    ----------
    contestant : str
        A name of `bench.contestants.ENTRIES`, or "peak".
    row : Row
    data : Path
        An .npy file with the row's uint8 rows.
    n_threads : int
    every_variant : bool
        Whether to try all of the contestant's variants and keep the fastest, or take the first.

    Raises
    ------
    WorkerError
        If the contestant cannot be set up.
    """

    def __init__(
        self, contestant: str, row: Row, data: Path, n_threads: int, every_variant: bool
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
            env=environment.clean(os.environ) | thread_variables(n_threads),
        )
        order = {
            "contestant": contestant,
            "row": row.name,
            "data": str(data),
            "n_threads": n_threads,
            "every_variant": every_variant,
        }
        self.facts = self._ask(order)

    def run(self) -> float:
        """Let the contestant do the row's work once; return the seconds that it took."""
        return float(self._ask({"run": True})["seconds"])

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(order), file=stdin, flush=True)
        answer = stdout.readline()
        if not answer:
            self.close()
            raise WorkerError(f"the process ended with code {self._process.returncode}")
        facts: dict[str, Any] = json.loads(answer)
        if "error" in facts:
            self.close()
            raise WorkerError(facts["error"])
        return facts


def thread_variables(n_threads: int) -> dict[str, str]:
    """Environment of a process with `n_threads`: the libraries' own choice where that is all."""
    if n_threads == machine.cpus():
        return {}
    return dict.fromkeys((*_POOL_VARIABLES, "NUMBA_NUM_THREADS"), str(n_threads))


def restrict(n_threads: int) -> None:
    """Keep this process on as many CPUs as it has threads: JAX has no other setting."""
    if hasattr(os, "sched_setaffinity") and n_threads < machine.cpus():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_threads])


def set_up(order: dict[str, Any]) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Return what to run, and facts: the amount of work (rows, or FLOP) and the variant."""
    restrict(order["n_threads"])
    row = row_named(order["row"])
    if order["contestant"] == PEAK:
        from bench.peak import fma_flops, run_fma

        run_fma(1)
        return lambda: run_fma(_PEAK_BLOCKS), {"amount": fma_flops(_PEAK_BLOCKS)}
    rows = np.load(order["data"])
    if row.work == "steps":
        from bench.ours import Steps

        steps = Steps(row.sizes, rows, row.batch_size)
        steps.run()
        return steps.run, {"amount": steps.n_steps * row.batch_size}
    run, facts = _contestant(order, row, rows)
    return run, facts | {"amount": len(rows) * row.repeats}


def _contestant(
    order: dict[str, Any], row: Row, rows: Any
) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Return what a contestant runs, and which of its variants it is."""
    contestant = contestants.load(order["contestant"])
    kinds = {"fit": "training_variants", IWAE: "iwae_variants", LIKELIHOOD: "likelihood_variants"}
    variants = getattr(contestant, kinds.get(row.work, "pass_variants"))
    build = partial(_variant, order["contestant"], row)
    if row.work == LIKELIHOOD:
        return _estimating(build, rows, variants if order["every_variant"] else variants[:1])
    if not order["every_variant"] or len(variants) == 1:
        return build(rows, variants[0]), {"variant": variants[0]}
    return _fastest(build, rows, variants)


def _estimating(
    build: Build, rows: Any, variants: list[dict[str, Any]]
) -> tuple[Callable[[], Any], dict[str, Any]]:
    """The fastest variant of log p(x), tried on few of the rows, and what it finds for all."""
    facts: dict[str, Any] = {"variant": variants[0]}
    if len(variants) > 1:
        few = rows[: max(1, len(rows) // _LIKELIHOOD_SHARE)]
        _, facts = _fastest(build, few, variants, _LIKELIHOOD_TRIALS)
    run = build(rows, facts["variant"])
    found = run()
    return run, facts | {"estimate": found.means(), "values": found.value.tolist()}


def _fastest(
    build: Build, rows: Any, variants: list[dict[str, Any]], trials: int = _TRIALS
) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Try every variant, each after a warm call, and keep the fastest."""
    best, tried = None, []
    for variant in variants:
        run = build(rows, variant)
        seconds = min(_timed(run) for _ in range(trials))
        tried.append({"variant": variant, "seconds": seconds})
        if best is None or seconds < best[0]:
            best = seconds, run, variant
    assert best is not None
    return best[1], {"variant": best[2], "tried": tried}


def _variant(contestant: str, row: Row, rows: Any, variant: dict[str, Any]) -> Callable[[], Any]:
    """Build a contestant; return its work, as often as the row repeats it, after one warm call."""
    model = contestants.build(contestant, row.sizes, **variant)
    model.set_parameters(_parameters(row, rows))
    run: Callable[[], Any]
    if row.work == "decode":
        generator = np.random.Generator(np.random.Philox(1))
        latents = generator.standard_normal((len(rows), row.sizes.n_latent), np.float32)
        run = lambda: model.decode(latents)  # noqa: E731
    else:
        data = model.prepare(rows)
        if row.work == "encode":
            run = lambda: model.encode(data)  # noqa: E731
        elif row.work == LIKELIHOOD:
            run = lambda: model.log_likelihood(data, row.n_samples)  # noqa: E731
        elif row.work == IWAE:
            weighted = cast(ImportanceWeighted, model)
            run = lambda: weighted.fit_iwae(data, 1, row.batch_size, row.n_samples)  # noqa: E731
        else:
            run = lambda: model.fit(data, 1, row.batch_size)  # noqa: E731
    run()
    return partial(_repeated, run, row.repeats)


def _repeated(run: Callable[[], Any], times: int) -> Any:
    """Run several times; return the last result. No result stays in memory during the next run."""
    for _ in range(times - 1):
        run()
    return run()


def _parameters(row: Row, rows: Any) -> Parameters:
    """What the model is set to: as training begins, or for log p(x) as a training on MNIST ended.

    Only there are many hidden units off, and weights of latents spread, as users find them.
    """
    return load_file(TRAINED) if row.work == LIKELIHOOD else initial_parameters(row.sizes, rows)


def _timed(run: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def serve() -> None:
    """Answer orders from stdin until it ends; the far end of `Worker`."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    run: Callable[[], Any] | None = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if run is None:
                run, facts = set_up(order)
                if order["contestant"] == "numpy":
                    facts["blas"] = machine.blas_kernels()
            else:
                facts = {"seconds": _timed(run)}
        except Exception:  # whatever a library raises is the answer
            facts = {"error": traceback.format_exc()}
        print(json.dumps(facts), file=answers, flush=True)


if __name__ == "__main__":
    serve()
