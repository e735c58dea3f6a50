"""Runs that are killed (SIGKILL) at random moments and resumed until they end.

A run trains in a process of its own and writes checkpoints, its model and its log so often that
many kills come while one of them is written. After each kill all files that were there must be
there still, and whole. A run that has ended must be, to the bit, the one that nobody killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from model_checks import figures_of, parameters, pixel_rows

import fastvae
from fastvae import VAE, callbacks, schedules
from fastvae.files import checkpoints

TITLE = "Runs that are killed"
TEXT = """
Runs of five kinds (Adam, RMSprop, SGD; clipped or not; Bernoulli and Gaussian; float32 and float64;
schedules; early stopping that restores the best weights) are killed with SIGKILL at random moments
and resumed with 1, 2 or 4 threads, until they come to their ends. They write a checkpoint every few
updates, the model and a log after each epoch. No file may be lost, and each run must be equal, by a
digest of weights, history, ELBO and samples, to the one that nobody killed. A kill is of the
process, not of the machine: what a power cut does to a disk's own cache was not tried.
"""
COUNT = 1000

ROWS, HELD_OUT = pixel_rows(1501, 61), pixel_rows(101, 61, seed=1)
EPOCHS = 4
CASES: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    ({}, {"batch_size": 16}, 7),
    ({"likelihood": "gaussian"}, {"batch_size": 8, "optimizer": "rmsprop"}, ("epoch", 40)),
    (
        {"hidden": (300, 200), "dtype": np.float64},
        {"batch_size": 128, "clip_norm": 1.0, "learning_rate": schedules.Cosine(1e-2)},
        ("epoch", "0.02s"),
    ),
    (
        {"hidden": (500,)},
        {"batch_size": 32, "beta": schedules.Constant(0.5), "optimizer": "sgd"},
        "0.05s",
    ),
    ({"activation": "tanh"}, {"batch_size": 5}, "epoch"),
]
TESTS = Path(__file__).resolve().parents[1]
FILES = ("run.ckpt", "run.previous.ckpt", "model.safetensors", "log.csv")


def train(case: int, folder: Path | None, n_threads: int) -> VAE:
    """Train the run of a case to its end, or until somebody kills the process."""
    model, settings, every = CASES[case]
    sizes: dict[str, Any] = {"hidden": (40,), "n_latent": 6}
    vae = VAE.from_sizes(61, **(sizes | model))
    kept: dict[str, Any] = {}
    listeners: list[callbacks.Callback] = [callbacks.EarlyStopping(patience=2, min_delta=1e3)]
    if folder is not None:
        path = folder / "run.ckpt"
        kept = {"checkpoint": path, "checkpoint_every": every}
        kept["resume"] = path if path.exists() else None
        listeners += [
            callbacks.Checkpoint(folder / "model.safetensors"),
            callbacks.CSVLogger(folder / "log.csv"),
            _Ready(),
        ]
    vae.fit(
        ROWS, epochs=EPOCHS, validation=HELD_OUT, n_threads=n_threads, verbose=False,
        callbacks=listeners, **settings, **kept,
    )  # fmt: skip
    return vae


class _Ready(callbacks.Callback):
    """Tells the parent process that training begins."""

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        print("ready", flush=True)


def digest(vae: VAE) -> str:
    """What must not depend on kills."""
    seen = hashlib.sha256(json.dumps(figures_of(vae.history)).encode())
    for array in [*parameters(vae).values(), vae.sample(3), *vae.encode(HELD_OUT)]:
        seen.update(array.tobytes())
    seen.update(f"{vae.updates} {vae.epochs} {vae.elbo(HELD_OUT)}".encode())
    return seen.hexdigest()


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Kill and resume runs until there were so many kills.

    Yields
    ------
    Counter
        kills, those of them while a file was written, runs that ended equal to the whole ones,
        and checkpoints, models and logs that were read after a kill.

    Raises
    ------
    AssertionError
        If a file is lost or broken, or a run differs.
    """
    chance, counted = random.Random(seed), Counter[str]()
    expected = [digest(train(case, None, 2)) for case in range(len(CASES))]
    run = 0
    while counted["kills"] < count:
        case = run % len(CASES)
        with tempfile.TemporaryDirectory() as name:
            found = _one_run(case, Path(name), chance, counted, count)
        assert found == expected[case], f"case {case}: the resumed run differs"
        counted["runs equal to the whole one"] += 1
        run += 1
        yield counted


def _one_run(
    case: int, folder: Path, chance: random.Random, counted: Counter[str], n_kills: int
) -> str:
    """Kill and resume one run; when there were kills enough, it may end. Return its digest."""
    n_updates = -1
    while True:
        before = {name for name in FILES if (folder / name).exists()}
        left_before = set(folder.glob(".*.tmp"))
        command = [
            sys.executable,
            "-m",
            "probes.kills",
            "--train",
            str(case),
            "--folder",
            str(folder),
        ]
        command += ["--threads", str(chance.choice([1, 2, 4]))]
        environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment, cwd=TESTS
        ) as process:
            assert process.stdout is not None
            if counted["kills"] < n_kills:
                if chance.random() < 0.9:  # else while the process starts
                    process.stdout.readline()
                time.sleep(chance.random() ** 2 * 0.8)
                process.kill()
            output = process.stdout.read()
        if process.returncode == 0:
            return output.split()[-1]
        assert process.returncode == -9, f"case {case} ended with {process.returncode}"
        counted["kills"] += 1
        counted["kills while a file was written"] += bool(set(folder.glob(".*.tmp")) - left_before)
        n_updates = _check_files(folder, before, n_updates, counted)


def _check_files(folder: Path, before: set[str], n_updates: int, counted: Counter[str]) -> int:
    """Read all files; return how many updates the checkpoint has, never fewer than before."""
    present = {name for name in FILES if (folder / name).exists()}
    assert present >= before, f"lost: {before - present}"
    counted["files read after a kill"] += len(present)
    if "run.previous.ckpt" in present:
        checkpoints.read(folder / "run.previous.ckpt")
    if "model.safetensors" in present:
        fastvae.load(folder / "model.safetensors")
    if "log.csv" in present:
        lines = (folder / "log.csv").read_text().splitlines()
        assert len({line.count(",") for line in lines}) == 1
        assert [line.split(",")[0] for line in lines[1:]] == [
            str(epoch) for epoch in range(1, len(lines))
        ]
    if "run.ckpt" not in present:
        return n_updates
    found = checkpoints.read(folder / "run.ckpt").facts["counts"]["n_updates"]
    assert found >= n_updates, f"the checkpoint went back from {n_updates} to {found} updates"
    return int(found)


def main() -> None:
    """Be the process that is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    print(digest(train(args.train, args.folder, args.threads)), flush=True)


if __name__ == "__main__":
    main()
