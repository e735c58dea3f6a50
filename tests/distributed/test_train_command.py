"""`fastvae train` under mpiexec: rank 0 is the command, the others follow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_checks import pixel_rows
from rank_jobs import PATIENCE, command, environment, needs_mpi

pytestmark = pytest.mark.slow
OPTIONS = [
    "--epochs",
    "2",
    "--hidden",
    "19",
    "--latent",
    "5",
    "--batch-size",
    "20",
    "--no-pictures",
    "--validation",
    "20",
]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in the folder that commands are run in."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", pixel_rows(123, 36))


def train(n_ranks: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on so many ranks, without mpiexec on one."""
    started = [sys.executable, "-m", "fastvae", "train", *options]
    if n_ranks > 1:
        mpiexec, n, number, *_ = command(n_ranks, "")
        started = [mpiexec, n, number, *started]
    return subprocess.run(
        started, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def begun(n_ranks: int, folder: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Begin a run, which must go well."""
    done = train(n_ranks, "--dataset", "rows.npy", "--output", folder, *OPTIONS, *options)
    assert done.returncode == 0, done.stderr
    return done


def without_time(text: str, folder: str) -> list[str]:
    """What was printed, but for the folder and the seconds of epochs."""
    lines = [line.replace(folder, "RUN") for line in text.splitlines()]
    return [line.rpartition("  ")[0] if line.startswith("epoch") else line for line in lines]


@needs_mpi
def test_ranks_leave_the_run_that_one_process_does() -> None:
    one, three = begun(1, "one", "--blocks", "8"), begun(3, "three")
    assert without_time(one.stdout, "one") == without_time(three.stdout, "three")
    assert three.stderr == ""
    for name in ("model.safetensors", "settings.json", "test.json"):
        if Path("one", name).exists():
            ours, theirs = (Path(run, name).read_bytes() for run in ("one", "three"))
            assert ours == theirs, name
    assert {p.name for p in Path("one").iterdir()} == {p.name for p in Path("three").iterdir()}


@needs_mpi
def test_a_run_goes_on_with_another_number_of_ranks() -> None:
    begun(2, "run")
    begun(1, "straight", "--blocks", "8", "--epochs", "4")
    for n_ranks, n_epochs in ((3, 3), (1, 4)):
        done = train(n_ranks, "--resume", "run", "--epochs", str(n_epochs), "--no-pictures")
        assert done.returncode == 0, done.stderr
    ours, theirs = (Path(run, "model.safetensors").read_bytes() for run in ("run", "straight"))
    # The card says with how many epochs a run was begun.
    assert ours[-4000:] == theirs[-4000:]


@needs_mpi
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--dataset", "nowhere.npy"], 1, "nowhere.npy: No such file or directory"),
        (["--dataset", "rows.npy", "--blocks", "2"], 1, "n_blocks must be at least the number"),
        (["--blok", "2"], 2, "there is no option --blok"),
        (["--dataset", "rows.npy", "--free-bits", "-1"], 1, "--free-bits must be"),
    ],
)
def test_an_error_is_one_line(options: list[str], code: int, message: str) -> None:
    done = train(3, *options)
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert message in done.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(("rank", "n_lines"), [("0", 1), ("1", 0)])
def test_without_mpi4py_the_error_says_what_to_install(rank: str, n_lines: int) -> None:
    program = (
        "import sys; sys.modules['mpi4py'] = None; sys.argv = ['fastvae', 'train']\n"
        "from fastvae.commands.start import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PMI_SIZE": "2", "PMI_RANK": rank},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("pip install 'fastvae-cpu[mpi]'") == n_lines
    assert len(done.stderr.splitlines()) == n_lines
