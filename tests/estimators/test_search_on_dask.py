"""examples/search_on_dask.py finds on Dask's workers what scikit-learn finds in one process."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("sklearn")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("distributed") is None,
        reason="Dask is not installed: pip install 'fastvae-cpu[dask]'",
    ),
]

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "search_on_dask.py"
EPOCHS, N_WORKERS = 2, 2
PATIENCE = 600  # seconds for a search; processes are slow to start where others want the CPUs


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The program as a module, which searches nothing when it is imported."""
    spec = importlib.util.spec_from_file_location("search_on_dask", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(example: ModuleType) -> list[dict[str, Any]]:
    """What the search finds in this process, without Dask."""
    search = example.new_search(EPOCHS).set_params(n_jobs=1).fit(example.load_rows())
    found: list[dict[str, Any]] = json.loads(json.dumps(example.results(search)))
    return found


def without_time(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: of for name, of in one.items() if name != "seconds"} for one in found]


def environment(folder: Path) -> dict[str, str]:
    """One in which Dask keeps what it writes within a folder."""
    (folder / "tmp").mkdir()
    return os.environ | {"TMPDIR": str(folder / "tmp")}


def searched(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The program, run in a folder as a user does."""
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_scores_are_those_of_a_search_without_dask(
    alone: list[dict[str, Any]], tmp_path: Path
) -> None:
    done = searched(tmp_path, "--epochs", str(EPOCHS), "--output", "found.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert without_time(found) == without_time(alone)
    scores = [score for candidate in found for score in candidate["scores"]]
    assert len(set(scores)) == len(scores) == 18
    assert f"{N_WORKERS} workers" in done.stdout
    assert done.stdout.count("\n| ") == 1 + len(found)
    best = found[0]["parameters"]
    assert f"'n_components': {best['n_components']}" in done.stdout.splitlines()[-1]
    # Dask's own folder stays, without those of workers.
    assert {path.name for path in tmp_path.iterdir()} == {"found.json", "tmp"}
    assert not [path for path in (tmp_path / "tmp").rglob("*") if path.name.startswith("worker")]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, which are started by Dask's commands.

    With one worker alone joblib gives nothing away.
    """
    address = f"tcp://127.0.0.1:{free_port()}"
    where = tmp_path / "cluster"
    where.mkdir()
    port, options = address.rpartition(":")[2], ["--no-dashboard"]
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", port, *options],
        ["worker", address, "--nworkers", str(N_WORKERS), "--nthreads", "1", *options],
    ]
    with ExitStack() as stack:
        surroundings = environment(where)
        for command in commands:
            log = stack.enter_context((where / f"{command[0]}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=where,
                env=surroundings,
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait, timeout=60)
            stack.callback(process.terminate)
        begin = time.monotonic()
        while (where / "worker.log").read_text("utf-8").count("Registered to:") < N_WORKERS:
            assert time.monotonic() - begin < PATIENCE
            time.sleep(0.1)
        yield address


def test_a_running_scheduler_is_used(
    alone: list[dict[str, Any]], scheduler: str, tmp_path: Path
) -> None:
    options = ["--epochs", str(EPOCHS), "--output", "found.json", "--scheduler", scheduler]
    done = searched(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert f"{N_WORKERS} workers" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert without_time(found) == without_time(alone)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:{port}"])
def test_a_scheduler_that_is_not_there_is_one_line(address: str, tmp_path: Path) -> None:
    address = address.format(port=free_port())
    done = searched(tmp_path, "--scheduler", address)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"there are no workers of Dask at {address}: ")
    assert "Traceback" not in done.stderr
