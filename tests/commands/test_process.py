"""The command line as a process: its streams, its exit code, errors of imports, signals."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastvae

START = "import sys; from fastvae.cli import main; sys.exit(main())"
SMALL = ["--hidden", "8", "--latent", "2", "--epochs", "2", "--batch-size", "32", "--no-pictures"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell is needed")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")

pytestmark = pytest.mark.slow  # each test starts processes


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(fastvae.__file__).parents[1]))
    for name in ("PYTHONUNBUFFERED", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def images(working_folder):
    """A .npz file, of a name that is not ASCII, of 60 training rows of 16 features."""
    rows = np.random.default_rng(0).integers(0, 200, (70, 16)).astype(np.uint8)
    np.savez("zahlen-ü.npz", train=rows[:60], test=rows[60:])
    return "zahlen-ü.npz"


def command(
    *arguments: str, redirect: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a shell, with its streams redirected.

    A pipe stands in `redirect` too; what is returned is the exit code of the command itself.
    """
    script = f'set -o pipefail; "$@" {redirect}'
    return subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "fastvae", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


def train(images: str, redirect: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Train for two epochs, with a model that takes milliseconds."""
    return command("train", "--dataset", images, *SMALL, redirect=redirect, **variables)


# --- standard output -------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["train", "--help"], ["--version"]])
def test_a_reader_that_has_gone_ends_the_command_quietly(arguments, unbuffered):
    done = command(*arguments, redirect="| true", PYTHONUNBUFFERED=unbuffered)
    if done.returncode != 0:  # else all was written before the reader went
        assert done.returncode == 141
    assert done.stderr == ""


@POSIX
def test_a_reader_that_goes_ends_a_training_quietly(images):
    done = train(images, "| head -1")
    assert done.returncode in (0, 141)
    assert done.stderr == ""
    assert done.stdout.startswith("data ")


@POSIX
@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["train", "--help"], ["--version"]])
def test_a_full_device_is_one_line_and_a_failure(arguments, unbuffered):
    done = command(*arguments, redirect="> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "fastvae: error: standard output: No space left on device\n"


@POSIX
@FULL
def test_a_training_that_cannot_report_ends(images):
    done = train(images, "> /dev/full")
    assert done.returncode == 1
    assert re.fullmatch(r"fastvae: error: standard output: No space left.*\n", done.stderr)


@POSIX
@FULL
def test_an_earlier_error_is_not_hidden_by_a_full_device():
    done = command("evaluate", "no-such-model", redirect="> /dev/full")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "no-such-model" in done.stderr
    done = command("nonsense", redirect="> /dev/full")
    assert done.returncode == 2
    assert "there is no command 'nonsense'" in done.stderr


# --- missing streams, standard error ---------------------------------------------------------


@POSIX
@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_a_training_works_without_streams(images, redirect):
    done = train(images, redirect)
    assert (done.returncode, done.stderr) == (0, "")
    run = Path("runs/zahlen-ü-1")
    assert (run / "history.csv").read_text().count("\n") == 3
    assert fastvae.load(run / "model.safetensors").epochs == 2


@POSIX
def test_without_standard_error_errors_do_not_go_elsewhere():
    done = command("evaluate", "no-such-model", redirect="2>&-")
    assert (done.returncode, done.stdout) == (1, "")
    done = command("nonsense", redirect="2>&-")
    assert (done.returncode, done.stdout) == (2, "")


@POSIX
@FULL
def test_standard_error_that_is_full_ends_nothing(images):
    done = train(images, "2> /dev/full", NUMBA_OPT="unknown")  # Numba warns of it
    assert done.returncode == 0
    assert "saved " in done.stdout
    assert command("evaluate", "no-such-model", redirect="2> /dev/full").returncode == 1


@POSIX
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_names_that_the_terminal_cannot_show_are_escaped(images, variables):
    done = command("evaluate", "no-such-ω", "--data-dir", images, **variables)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    Path("ω.npz").write_bytes(Path(images).read_bytes())
    done = train("ω.npz", "2>&1 | cat -v", **variables)
    assert done.returncode == 0, done.stdout
    assert "saved " in done.stdout


# --- errors of imports -----------------------------------------------------------------------


BROKEN = {
    "nothing": ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    "torn": ("raise RuntimeError('torn\\n  in two')", "torn; in two"),
    "mute": ("raise KeyError", "KeyError"),
    "attribute": ("import os; os.nothing", "module 'os' has no attribute 'nothing'"),
    "syntax": ("def", "invalid syntax (__init__.py, line 1)"),
}


@pytest.mark.parametrize(("source", "message"), BROKEN.values(), ids=BROKEN)
def test_a_library_that_cannot_be_imported_is_one_line(tmp_path, source, message):
    library = tmp_path / "broken" / "numba"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(source + "\n")
    path = os.pathsep.join([str(library.parent), os.environ["PYTHONPATH"]])
    for arguments in (["info"], ["train"]):
        done = command(*arguments, PYTHONPATH=path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("fastvae: error: ")
        assert done.stderr.endswith(message + "\n")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, "unset NUMBA_DISABLE_JIT"),
        ({"FASTVAE_ISA": "avx1024"}, "FASTVAE_ISA='avx1024' is not available"),
        ({"NUMBA_CPU_FEATURES": "all"}, "NUMBA_CPU_FEATURES must be names"),
        ({"NUMBA_THREADING_LAYER": "cuda"}, "threading layer requested 'cuda'"),
        ({"NUMBA_THREADING_LAYER_PRIORITY": "omp"}, "THREADING_LAYER_PRIORITY invalid"),
    ],
)
def test_a_variable_that_cannot_be_followed_is_one_line(variables, message):
    done = command("info", **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("fastvae: error: ")
    assert message in done.stderr


def test_a_variable_that_numba_cannot_read_is_a_warning_of_one_line():
    done = command("info", NUMBA_OPT="unknown")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("fastvae: warning: Environment variable 'NUMBA_OPT'")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "from fastvae import VAE",
        "import fastvae; fastvae.load('synthetic_digits')",
        "import fastvae; hasattr(fastvae, 'warmup')",
        "import fastvae.kernels",
        "from fastvae.kernels.machine.compilation import kernel",
    ],
)
def test_without_compilation_every_import_says_so(statement):
    done = subprocess.run(
        [sys.executable, "-c", statement],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == (
        "ImportError: fastvae's kernels are machine code only; unset NUMBA_DISABLE_JIT"
    )


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("arguments", [["info"], ["sample", "-n", "1"]])
def test_a_signal_at_any_moment_is_no_traceback(number, arguments):
    rng = random.Random(number)
    for _ in range(8):
        # Whoever starts the suite may ignore SIGHUP, as nohup does.
        allow = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
        program = f"{allow}; print('start', flush=True); {START}"
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random())
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        # 0: it came after the end. Negative: before our first import, as shells report it alike.
        assert process.returncode in (0, 128 + number, -number)
        assert errors in ("", "fastvae: stopped\n")
