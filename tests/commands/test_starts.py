"""Starts of ``fastvae train`` that come to nothing: they leave nothing that blocks the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastvae
from fastvae.commands.cli import main
from fastvae.commands.runs import Run

TRAIN = [
    "train", "--dataset", "images.npz", "--hidden", "8", "--latent", "2", "--epochs", "2",
    "--batch-size", "32", "--no-pictures", "--output", "out",
]  # fmt: skip


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(fastvae.__file__).parents[1]))
    rows = np.random.default_rng(0).integers(0, 256, (190, 16), np.uint8)
    np.savez("images.npz", train=rows[:150], test=rows[150:])


def names() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin"])
@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (ValueError("no"), 1), (OSError(5, "no", "file"), 1)],
)
def test_what_ends_a_training_before_its_first_update(monkeypatch, capsys, hook, error, code):
    def fail(*_):
        raise error

    before = names()
    with monkeypatch.context() as patch:
        patch.setattr(Run, hook, fail)
        assert main(TRAIN) == code
    assert "go on with" not in capsys.readouterr().err
    assert names() == before
    assert main(TRAIN) == 0


def test_a_resumed_run_that_fails_at_its_start_stays(monkeypatch, capsys):
    assert main(TRAIN) == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}

    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr(Run, "on_train_begin", fail)
    capsys.readouterr()
    assert main(["train", "--resume", "out", "--epochs", "3", "--no-pictures"]) == 1
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_of_many_threads_that_want_a_folder_one_gets_it():
    n_threads, n_rounds = 8, 20
    barrier = threading.Barrier(n_threads)
    outcomes: list[object] = []

    def start(folder: Path) -> None:
        barrier.wait()
        try:
            run = Run.create("images", folder)
        except (BlockingIOError, FileExistsError) as error:
            outcomes.append(error)
            return
        outcomes.append(run)
        run.model_path.touch()
        run.close()

    for i in range(n_rounds):
        outcomes.clear()
        folder = Path(f"run-{i}")
        threads = [threading.Thread(target=start, args=(folder,)) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == n_threads
        assert sum(isinstance(outcome, Run) for outcome in outcomes) == 1


# --- real processes --------------------------------------------------------------------------

STOPPING = """
import os, signal, sys, time
from fastvae.commands import cli, runs, train
from fastvae.files import writing

def stop(*_, **__):
    print("here", flush=True)
    time.sleep(60)

# Whoever starts the suite may ignore them, as nohup does.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
place = sys.argv.pop(1)
if place == "settings":  # they are written, and nothing else
    train._Training.do = stop
elif place == "writing":  # a temporary file is there
    os.fsync = stop
elif place == "first update":
    runs.Run.on_train_begin = stop
sys.exit(cli.main(sys.argv[1:]))
"""


def started(place: str, *command: str) -> subprocess.Popen[str]:
    """A process that has come to a place in its start, and waits there."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING, place, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "here\n":
            return process
    raise AssertionError(process.stderr and process.stderr.read())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["settings", "writing", "first update"])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGHUP", "SIGTERM", "SIGINT"])
def test_a_start_that_is_ended_from_outside_blocks_nothing(place, name):
    before = names()
    process = started(place, *TRAIN)
    assert main(TRAIN) == 1  # it is at work
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=50)
    assert process.returncode != 0
    if name != "SIGKILL":
        assert names() == before
    assert main(TRAIN) == 0
    assert not [name for name in os.listdir("out") if name.endswith(".tmp")]


@pytest.mark.slow
def test_of_two_processes_with_one_output_one_trains():
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "fastvae", *TRAIN],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=100)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1]
    for process, message in zip(processes, said, strict=True):
        if process.returncode:
            assert "another process trains in out" in message or "already holds a run" in message
    assert main(["evaluate", "out", "--dataset", "images.npz"]) == 0
