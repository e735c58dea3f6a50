"""Nothing that the caller's shell sets may slow a contestant unseen."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import __main__ as whole
from bench import contestants, environment, machine, ratios, test_start
from bench.rows import row_named
from bench.worker import Worker
from bench.workload import mnist_like_rows

ROOT = Path(__file__).resolve().parents[2]
FORCED = (
    "OPENBLAS_CORETYPE",
    "BLIS_ARCH_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
    "NVPL_BLAS_DEBUG_CPU_TYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "XLA_FLAGS",
    "GLIBC_TUNABLES",
    "NUMBA_CPU_NAME",
    "FASTVAE_ISA",
)
SETTINGS = (
    *FORCED,
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_THREAD_TIMEOUT",
    "GOTO_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMPY_MADVISE_HUGEPAGE",
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "NUMBA_DISABLE_JIT",
    "JAX_ENABLE_X64",
    "JAX_DISABLE_JIT",
    "JAX_PLATFORMS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "TORCH_LOGS",
    "TORCHDYNAMO_DISABLE",
    "TORCHINDUCTOR_FREEZING",
    "PYTORCH_JIT",
    "ONEDNN_VERBOSE",
    "LRU_CACHE_CAPACITY",
    "MALLOC_ARENA_MAX",
    "MALLOC_CONF",
    "LD_PRELOAD",
    "LD_BIND_NOW",
    "PYTHONDEVMODE",
    "PYTHONMALLOC",
    "PYTHONTRACEMALLOC",
)
NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/someone",
    "LC_ALL": "C.UTF-8",
    "XDG_CACHE_HOME": "/cache",
    "LD_LIBRARY_PATH": "/lib",
    "PYTHONPATH": "/packages",
    "NUMBA_CACHE_DIR": "/compiled",
    "FASTVAE_DATA": "/data",
}


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ratios.add_arguments(parser)
    return parser.parse_args(["--quick", "--rows", "encode", "--output", str(tmp_path / "r.json")])


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, whatever the shell of the tests has."""
    for name in environment.settings(os.environ):
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_not_inherited_and_is_recognised(name: str) -> None:
    inherited = environment.clean({name: "1", **NEEDED})
    assert inherited.get(name) != "1"
    assert environment.settings({name: "1", **NEEDED}) == [name]
    assert environment.instruction_sets({name: "1", **NEEDED}) == [name] * (name in FORCED)


def test_what_nobody_has_heard_of_is_not_inherited() -> None:
    inherited = environment.clean({"NEXT_YEARS_BLAS_CORE": "slow", **NEEDED})
    assert inherited == NEEDED | {"JAX_PLATFORMS": "cpu"}
    assert environment.settings(inherited) == []
    assert environment.settings({"TF_CLI_CONFIG_FILE": "terraform", "SHELL": "sh"}) == []


def test_numpy_in_a_worker_runs_the_kernel_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prescott's kernels run on every x86-64, and no machine of today chooses them itself."""
    data = tmp_path / "rows.npy"
    np.save(data, mnist_like_rows(300))

    def kernels() -> list[dict[str, Any]]:
        worker = Worker("numpy", row_named("encode"), data, machine.cpus(), False)
        worker.close()
        return worker.facts["blas"]

    before = kernels()
    assert [set(kernel) for kernel in before] == [
        {"internal_api", "version", "architecture", "num_threads"}
    ]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("OMP_NUM_THREADS", "63")
    monkeypatch.setenv("MKL_ENABLE_INSTRUCTIONS", "SSE4_2")
    assert kernels() == before


@pytest.mark.slow
def test_processes_and_the_suite_inherit_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, str]] = []

    def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
        given.append(environment)
        return {"seconds": 1.0, "memory_mb": 1.0, "ready_seconds": 1.0}

    def run(command: list[str], **options: Any) -> None:
        given.append(options["env"])

    monkeypatch.setattr("bench.ratios.training_rows", lambda _: ("mnist", None, None))
    measurement = ratios.Measurement(1, 1, False, None, tmp_path)
    for name in SETTINGS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(ratios, "measure_process", measured)
    monkeypatch.setattr(test_start, "measure_process", measured)
    monkeypatch.setattr(contestants, "why_not", lambda _: None)
    measurement.measure(row_named("start-warm"))
    test_start.first_batch("numpy", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(whole, "SUITE", tmp_path / "suite.json")
    whole.run_suite(quick=True)
    assert len(given) == 8
    suite_s_own = {*ratios.keeping_compiled_code(tmp_path), *ratios.thread_variables(-1)}
    for inherited in given:
        assert set(environment.settings(inherited)) <= suite_s_own
        assert inherited["PATH"] == os.environ["PATH"]


def test_facts_are_those_of_a_contestant_s_process(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ratios.contestants_machine()
    monkeypatch.setenv("FASTVAE_ISA", "generic")
    monkeypatch.setenv("NUMBA_THREADING_LAYER", "workqueue")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert ratios.contestants_machine() == expected


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("name", FORCED)
def test_a_forced_core_is_refused_before_anything_is_measured(
    name: str, arguments: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratios, "Measurement", None)
    monkeypatch.setenv(name, "Haswell")
    with pytest.raises(ratios.Refused, match=rf"^{name} may hold .*: env -u {name} COMMAND$"):
        ratios.run(arguments)
    assert not arguments.output.exists()


@pytest.mark.usefixtures("unset")
def test_a_missing_threadpoolctl_is_refused(
    arguments: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "threadpoolctl" else found(name)
    )
    with pytest.raises(
        ratios.Refused, match=r"threadpoolctl is not .*install 'fastvae-cpu\[bench\]'"
    ):
        ratios.run(arguments)


def suite(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Collect one benchmark with these variables in the environment."""
    command = [sys.executable, "-m", "pytest", "bench/test_kernels.py", "-k", "permutation"]
    return subprocess.run(
        [*command, "-q", "--collect-only", *options],
        cwd=ROOT,
        env=environment.clean(os.environ) | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_suite_refuses_every_setting() -> None:
    """Its own process has read the environment already."""
    done = suite("--benchmark-enable", OPENBLAS_CORETYPE="Haswell", OMP_NUM_THREADS="1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "env -u OMP_NUM_THREADS -u OPENBLAS_CORETYPE COMMAND" in done.stdout + done.stderr
    assert suite("--benchmark-enable").returncode == 0


def test_the_suite_measures_nothing_and_refuses_nothing() -> None:
    assert suite(OMP_NUM_THREADS="1").returncode == 0
