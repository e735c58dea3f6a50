"""Training on several ranks, real processes that `mpiexec` starts: the bits of one process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rank_jobs
from rank_jobs import command, environment, needs_mpi, run, wait_for

from fastvae.files import checkpoints

pytestmark = [needs_mpi, pytest.mark.slow]


@pytest.fixture(scope="module")
def by_one_process() -> dict[str, str]:
    """What one process finds, without a communicator."""
    return rank_jobs.fits()


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_finds_the_same_bits(
    n_ranks: int, by_one_process: dict[str, str]
) -> None:
    assert run(n_ranks, "fits") == by_one_process
    assert len(set(by_one_process.values())) == len(by_one_process)


def test_as_many_ranks_as_blocks(by_one_process: dict[str, str]) -> None:
    found = run(8, "shards")
    assert found.items() <= by_one_process.items()


def test_ranks_need_only_their_own_rows(by_one_process: dict[str, str]) -> None:
    assert run(3, "shards").items() <= by_one_process.items()


def test_passes_are_spread() -> None:
    assert run(3, "passes") == rank_jobs.passes()


def test_what_callbacks_change_is_shared() -> None:
    assert run(2, "callbacks") == rank_jobs.callbacks()


def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    file = str(tmp_path / "run.safetensors")
    run(3, "checkpointed", file, "1")
    run(2, "checkpointed", file, "2")
    found = rank_jobs.checkpointed(None, file, "3")
    straight = rank_jobs.fit_case("rmsprop", epochs=3)
    assert found == {"fitted": straight}
    written = checkpoints.read(file)
    assert written.arrays["totals"].shape[0] == rank_jobs.N_BLOCKS


WRONG = {
    "blocks": "n_blocks must be at least the number of ranks",
    "shard": "must have the 5. rows from row",
    "settings": "all ranks must be given the same",
    "rows": r"row 8\b.*column 3.*rows counted from row 52 of all",
    "diverges": "the training has diverged",
    "callback": "the callback has failed",
}


@pytest.mark.parametrize("what", WRONG)
def test_all_ranks_are_told_what_is_wrong(what: str) -> None:
    found = run(2, "caught", what)
    assert len(found) == 2
    for text in found.values():
        assert re.search(WRONG[what], text), text


def test_an_error_of_one_rank_ends_the_job() -> None:
    done = subprocess.run(
        command(2, "alone"), env=environment(), capture_output=True, text=True,
        timeout=rank_jobs.PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "rank 1 of 2 ends the job" in done.stderr
    assert "ArithmeticError: only here" in done.stderr


@contextmanager
def _begun(file: Path, n_ranks: int) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """An endless job that has written a checkpoint, and its processes; it is ended at last."""
    with subprocess.Popen(
        command(n_ranks, "endless", str(file)), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as job:  # fmt: skip
        try:
            wait_for(lambda: file.exists() or job.poll() is not None)
            assert job.poll() is None, job.communicate()
            names = [Path(f"{file}.{rank}") for rank in range(n_ranks)]
            yield job, [int(name.read_text("utf-8")) for name in names]
        finally:
            job.terminate()


@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_dies_ends_the_job(tmp_path: Path, rank: int) -> None:
    file = tmp_path / "run.safetensors"
    with _begun(file, 3) as (job, processes):
        os.kill(processes[rank], signal.SIGKILL)
        begun = time.monotonic()
        job.communicate(timeout=rank_jobs.PATIENCE)
    assert job.returncode != 0
    print(f"ended {time.monotonic() - begun:.1f} s later")
    assert checkpoints.read(file).facts["counts"]["n_epochs"] > 0


def test_a_signal_stops_all_ranks_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    with _begun(file, 2) as (job, processes):
        os.kill(processes[1], signal.SIGINT)
        _, errors = job.communicate(timeout=rank_jobs.PATIENCE)
    assert job.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert checkpoints.read(file).facts["counts"]["n_updates"] > 0
