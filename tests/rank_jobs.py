"""Jobs of several ranks for the tests: what each rank does, and how a test starts them.

As a program it does one job, the same on all ranks; rank 0 writes what it found as JSON.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows, small_vae

from fastvae import SGD, VAE
from fastvae.callbacks import Callback, EarlyStopping
from fastvae.distributed import rows_of

HAS_MPI = importlib.util.find_spec("mpi4py") is not None
needs_mpi = pytest.mark.skipif(
    not HAS_MPI, reason="mpi4py is not installed: pip install 'fastvae-cpu[mpi]'"
)
N_BLOCKS = 8
ROWS = pixel_rows(103, 37)
HELD_OUT = pixel_rows(1100, 37, seed=1)
LABELS = np.arange(103) % 3
PATIENCE = 600  # seconds for a job; ranks spin, so that they are slow where others want the CPUs

MODELS: dict[str, dict[str, Any]] = {
    "conditional": {"n_classes": 3},
    "label prior": {"n_classes": 3, "prior": "label"},
    "continuous": {"likelihood": "continuous_bernoulli"},
    "learned sigma": {"likelihood": "gaussian", "sigma": "learned", "missing": "ignore"},
    "output sigma": {"likelihood": "gaussian", "sigma": "output"},
    "poisson": {"likelihood": "poisson"},
    "mixed": {"likelihood": "mixed", "blocks": [("gaussian", 30), ("categorical", 7)]},
    "float64": {"dtype": np.float64},
    "large layers": {"hidden": (720, 730)},  # whose gradients are sent before the others
}
FITS: dict[str, dict[str, Any]] = {
    "adam": {},
    "clipped": {"clip_norm": 0.5},
    "sgd": {"optimizer": SGD(momentum=0.9), "learning_rate": 0.05},
    "rmsprop": {"optimizer": "rmsprop", "clip_norm": 0.5},
    "iwae": {"objective": "iwae", "n_samples": 3},
    "dreg": {"objective": "dreg", "n_samples": 2},
    "many samples": {"n_samples": 3},
    "free bits": {"free_bits": 0.02},
    "free bits, dynamic": {"free_bits": 0.05, "binarize": "dynamic", "n_samples": 2},
    "dynamic": {"binarize": "dynamic"},
    "fixed": {"binarize": "fixed"},
    "batch of fewer rows than blocks": {"batch_size": 5},
    "one batch": {"batch_size": 200},
    "large layers": {"clip_norm": 0.5},
}


def data_of(name: str) -> Any:
    """Rows for a case."""
    rows: Any = ROWS
    if name == "learned sigma":
        rows = ROWS / np.float32(64)
        rows[3, 5] = rows[50] = np.nan
    elif name == "output sigma":
        rows = ROWS / np.float32(64)
    elif name == "poisson":
        rows = ROWS.astype(np.float32) // 32
    elif name == "mixed":
        chosen = np.eye(7, dtype=np.float32)[np.arange(len(ROWS)) % 7]
        rows = np.hstack([ROWS[:, :30] / np.float32(64), chosen])
    return rows


def digest(vae: VAE) -> str:
    """A digest of all weights, and of what was measured but time."""
    assert vae.history is not None
    figures = {
        name: values
        for name, values in vae.history.items()
        if name not in ("seconds", "samples_per_second")
    }
    found = hashlib.sha256(vae.network.parameters.data)
    found.update(json.dumps([figures, vae.updates, vae.epochs]).encode())
    return found.hexdigest()


def fit_case(name: str, comm: Any = None, **changes: Any) -> str:
    """Train a small model, and return its digest."""
    vae = small_vae(**MODELS.get(name, {}))
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 20, "n_threads": 1, "verbose": False}
    settings |= FITS.get(name, {}) | changes
    labels = LABELS if vae.n_classes else None
    if "shard" in settings:
        own = slice(settings["shard"].start, settings["shard"].stop)
        settings["shard"] = (own.start, len(ROWS))
        labels = None if labels is None else labels[own]
    else:
        own = slice(None)
    if name == "adam":
        settings["validation"] = HELD_OUT
    vae.fit(data_of(name)[own], labels=labels, comm=comm, n_blocks=N_BLOCKS, **settings)
    return digest(vae)


def fits(comm: Any = None) -> dict[str, str]:
    """All small models."""
    return {name: fit_case(name, comm) for name in FITS | MODELS}


def shards(comm: Any) -> dict[str, str]:
    """Models whose rows each rank has in part only."""
    own = rows_of(len(ROWS), N_BLOCKS, comm.Get_rank(), comm.Get_size())
    names = ("clipped", "fixed", "label prior", "large layers", "learned sigma")
    return {name: fit_case(name, comm, shard=own) for name in names}


def passes(comm: Any = None) -> dict[str, Any]:
    """Figures of rows that are spread."""
    vae = small_vae()
    vae.fit(ROWS, epochs=1, batch_size=20, verbose=False, n_threads=1)
    elbo = vae.elbo(HELD_OUT, 2, per_sample=True, comm=comm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few samples
        found = vae.log_likelihood(HELD_OUT, 8, per_sample=True, binarize="fixed", comm=comm)
    codes = vae.encode(HELD_OUT.astype(np.float64) / 255, comm=comm)
    out = np.empty((2, len(HELD_OUT), vae.n_latent), np.float32)
    vae.encode(HELD_OUT, out=out, comm=comm)
    arrays = (*elbo, *found, *codes, out)
    return {str(i): hashlib.sha256(a.tobytes()).hexdigest() for i, a in enumerate(arrays)}


class Meddling(Callback):
    """Changes the model in every way that a callback may."""

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        """Change a weight, and numbers."""
        layer = vae.decoder.layers[0]
        layer.bias = layer.bias * 0.5
        vae.learning_rate_factor *= 0.9

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Any) -> None:
        """Change what the loss is, and the seed."""
        vae.beta, vae.seed = 0.5, epoch

    def on_train_end(self, vae: VAE, history: Any) -> None:
        """Change a weight for good."""
        vae.encoder.layers[0].bias = np.ones(19)


def callbacks(comm: Any = None) -> dict[str, Any]:
    """A training whose callbacks change the model, and one that is stopped early."""
    meddled = fit_case("adam", comm, callbacks=[Meddling()], validation=HELD_OUT)
    stopping = EarlyStopping(patience=1, min_delta=100.0, restore_best=True)
    stopped = fit_case("adam", comm, callbacks=[stopping], epochs=5)
    return {"meddled": meddled, "stopped": stopped}


def checkpointed(comm: Any, path: str, epochs: str) -> dict[str, str]:
    """A run, or one that goes on, up to an epoch."""
    resume = path if Path(path).exists() else None
    file = path if comm is None or comm.Get_rank() == 0 else "/nowhere/at/all"
    fitted = fit_case(
        "rmsprop", comm, checkpoint=file, resume=resume, epochs=int(epochs), checkpoint_every=2
    )
    return {"fitted": fitted}


def endless(comm: Any, path: str) -> dict[str, str]:
    """A run that does not end by itself; each rank says which process it is."""
    # A shell has its background jobs ignore Ctrl-C, and so do their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Path(f"{path}.{comm.Get_rank()}").write_text(str(os.getpid()), "utf-8")
    return {"fitted": fit_case("adam", comm, checkpoint=path, epochs=10**6)}


def caught(comm: Any, what: str) -> dict[str, str]:
    """What a rank is told where something is wrong; all must be told."""
    rank, size = comm.Get_rank(), comm.Get_size()
    rows = ROWS.astype(np.float32) / 255
    calls: dict[str, Callable[[], object]] = {
        "blocks": lambda: small_vae().fit(ROWS, epochs=1, comm=comm, n_blocks=size - 1),
        "shard": lambda: small_vae().fit(
            ROWS[: 50 + rank], epochs=1, comm=comm, shard=(50 * rank, 103)
        ),
        "settings": lambda: small_vae(seed=rank).fit(ROWS, epochs=1, comm=comm),
        "rows": lambda: small_vae().fit(rows, epochs=1, comm=comm),
        "diverges": lambda: small_vae().fit(
            ROWS,
            epochs=2,
            batch_size=20,
            comm=comm,
            optimizer="sgd",
            learning_rate=1e38,
            verbose=False,
        ),
        "callback": lambda: small_vae().fit(
            ROWS, epochs=1, comm=comm, callbacks=[_failing], verbose=False
        ),
    }
    rows[60, 3] = np.nan
    try:
        calls[what]()
    except Exception as error:
        told = comm.allgather(f"{type(error).__name__}: {error}")
        return {str(i): text for i, text in enumerate(told)}
    return {}


def _failing(vae: VAE, epoch: int, figures: Any) -> None:
    raise RuntimeError("the callback has failed")


def alone(comm: Any) -> dict[str, str]:
    """An exception that one rank has in the middle of a run."""

    def rate(step: int, total: int) -> float:
        if step == 3 and comm.Get_rank() == 1:
            raise ArithmeticError("only here")
        return 1e-3

    fit_case("adam", comm, learning_rate=rate)
    return {}


def command(n_ranks: int, job: str, *arguments: str) -> list[str]:
    """How a job is started."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    assert mpiexec is not None
    return [mpiexec, "-n", str(n_ranks), sys.executable, __file__, job, *arguments]


def environment() -> dict[str, str]:
    """One thread a rank, whatever the machine has."""
    return {**os.environ, "NUMBA_NUM_THREADS": "1"}


def run(n_ranks: int, job: str, *arguments: str) -> dict[str, Any]:
    """What the ranks of a job found."""
    done = subprocess.run(
        command(n_ranks, job, *arguments),
        env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def main() -> None:
    """Do the job that the command line names."""
    from mpi4py import MPI

    job, *arguments = sys.argv[1:]
    found = globals()[job](MPI.COMM_WORLD, *arguments)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
