"""How the benchmarks are measured: the peak, workers and processes that alternate, the rows."""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import contestants, environment, machine, ratios
from bench.claims import CLAIMS
from bench.measure import measure_process
from bench.peak import CHAINS, fma_chains, fma_flops, run_fma
from bench.ratios import Measurement
from bench.results import Measured, Results, read
from bench.rows import FIXED, PEAK, all_rows, row_named
from bench.worker import Worker, WorkerError, set_up
from bench.workload import (
    mnist_like_rows,
)
from fastvae import __version__
from fastvae.commands.parser import build_parser
from fastvae.kernels import get_num_threads, isa


def test_peak_keeps_every_chain() -> None:
    """A compiler that sees through a chain drops it, and the peak would come out too high."""
    import numba

    @numba.njit
    def chains(count: Any, start: Any, factor: Any) -> Any:
        return fma_chains(count, start, factor)

    assert np.isfinite(chains(np.int64(3), np.float32(0.1), np.float32(0.9)))
    (assembly,) = chains.inspect_asm().values()
    if isa() in ("avx512", "avx2"):
        blocks = assembly.split("\n.LBB")
        registers = [
            {line.split()[-1] for line in block.splitlines() if "vfmadd" in line}
            for block in blocks
        ]
        assert max(map(len, registers)) == CHAINS
    run_fma(1)
    assert fma_flops(2) == 2 * fma_flops(1) > 0


def test_a_worker_works_when_told(tmp_path: Path) -> None:
    data = tmp_path / "rows.npy"
    np.save(data, mnist_like_rows(300))
    worker = Worker("numpy", row_named("train-b128"), data, get_num_threads(), False)
    assert worker.facts.keys() == {"amount", "variant", "blas"}
    assert worker.facts["amount"] == 300
    assert worker.run() > 0
    worker.close()
    with pytest.raises(WorkerError, match="no_such"):
        Worker("numpy", row_named("encode"), tmp_path / "no_such.npy", 1, False)


class CountingContestant:
    """Counts its calls and computes nothing."""

    training_variants = pass_variants = ({"variant": 1}, {"variant": 2})
    calls = 0

    def __init__(self, _: Any, variant: int) -> None:
        self.variant = variant

    def set_parameters(self, named: Any) -> None:
        pass

    def prepare(self, rows: Any) -> Any:
        return rows

    def encode(self, *_: Any) -> None:
        type(self).calls += 1

    fit = decode = encode


@pytest.mark.parametrize(("name", "repeats"), [("encode", 100), ("decode", 100), ("train-b20", 1)])
@pytest.mark.parametrize("every_variant", [False, True])
def test_a_run_repeats_short_calls(
    name: str, repeats: int, every_variant: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "rows.npy", mnist_like_rows(30))
    monkeypatch.setattr(contestants, "load", lambda _: CountingContestant)
    monkeypatch.setattr(CountingContestant, "calls", 0)
    order = {
        "contestant": "numpy",
        "row": name,
        "data": str(tmp_path / "rows.npy"),
        "n_threads": machine.cpus(),
        "every_variant": every_variant,
    }
    run, facts = set_up(order)
    n_trials = 2 * 2 if every_variant else 0
    assert CountingContestant.calls == (2 if every_variant else 1) + n_trials * repeats
    assert facts["amount"] == 30 * repeats
    before = CountingContestant.calls
    run()
    assert CountingContestant.calls - before == repeats


@pytest.mark.slow
def test_rounds_alternate_in_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = mnist_like_rows(300)
    monkeypatch.setattr("bench.ratios.training_rows", lambda _: ("mnist", rows, rows))
    monkeypatch.setitem(
        contestants.ENTRIES, "jax", contestants.ENTRIES["jax"]._replace(requires="no_such_package")
    )
    row = replace(row_named("train-b128"), n_rows=300, contestants=("fastvae", "jax", PEAK))
    result = Measurement(2, 1, False, None, tmp_path).measure(row)
    assert result.skipped == {"jax": "no_such_package is not installed"}
    assert list(result.measured) == ["fastvae", PEAK]
    assert all(len(figures.seconds) == 2 for figures in result.measured.values())
    assert result.measured["fastvae"].amount == 300
    assert min(result.shares_of_peak("fastvae")) > 0
    (run,) = result.runs
    assert 0 <= run.busy <= 1
    assert run.fastvae == __version__
    assert run.blas is None
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(run.date)) < timedelta(hours=1)


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    """Measure rows by the command, with made-up figures, versions and data."""
    for name in environment.settings(os.environ):
        monkeypatch.delenv(name)
    rows = mnist_like_rows(30)
    monkeypatch.setattr(ratios, "training_rows", lambda _: ("mnist", rows, rows))
    parser = argparse.ArgumentParser()
    ratios.add_arguments(parser)

    def measure(seconds: list[float], *options: str, **versions: str) -> Results:
        facts = {
            "threads": machine.cpus(),
            "cpu": versions.pop("cpu", "Some CPU"),
            "versions": {"fastvae": "0.1", **versions},
        }
        monkeypatch.setattr(ratios, "contestants_machine", lambda: copy.deepcopy(facts))
        monkeypatch.setattr(
            Measurement,
            "_in_workers",
            lambda self, row: self._result(row, {"numpy": Measured(seconds, 10)}, {}, [0.0]),
        )
        return read(ratios.run(parser.parse_args([*options, "--output", str(tmp_path / "r.json")])))

    return measure


def test_a_row_measured_again_gets_a_further_run(measure: Callable[..., Results]) -> None:
    first = measure([3.0, 4.0], "--rows", "encode", "decode", numpy="2.4")
    again = ["--update", "--rows", "encode", "train-b1"]
    second = measure([1.0, 2.0, 9.0], *again, numpy="2.4", jax="0.9", fastvae="0.2")
    assert list(second.rows) == ["encode", "decode", "train-b1"]
    assert second.rows["decode"] == first.rows["decode"]
    assert second.rows["encode"].runs[0] == first.rows["encode"].runs[0]
    runs = second.rows["encode"].runs
    assert [(run.fastvae, run.measured["numpy"].seconds) for run in runs] == [
        ("0.1", [3.0, 4.0]),
        ("0.2", [1.0, 2.0, 9.0]),
    ]
    assert {name: result.runs[-1].repeats for name, result in second.rows.items()} == {
        "encode": 100,
        "decode": 100,
        "train-b1": 1,
    }
    assert second.machine["versions"] == {"numpy": "2.4", "jax": "0.9"}


def test_no_run_is_replaced(measure: Callable[..., Results], tmp_path: Path) -> None:
    measure([3.0], "--rows", "encode", numpy="2.4")
    before = (tmp_path / "r.json").read_bytes()
    for options, versions, message in (
        ((), {"numpy": "2.4"}, "r.json exists: --update adds runs to it, --output FILE begins"),
        (("--update",), {"numpy": "2.5"}, "measured with versions .*'2.4'.* now it is .*'2.5'"),
        (("--update",), {"numpy": "2.4", "cpu": "Other"}, "with cpu 'Some CPU'; now it is 'Other'"),
        (("--update", "--quick"), {"numpy": "2.4"}, "with quick False; now it is True"),
    ):
        with pytest.raises(ratios.Refused, match=message):
            measure([1.0], "--rows", "encode", *options, **versions)
    assert (tmp_path / "r.json").read_bytes() == before


@pytest.mark.slow
def test_cold_and_warm_processes_share_a_new_cache_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
        calls.append((command, environment["NUMBA_CACHE_DIR"]))
        return {"seconds": 10.0 / len(calls), "memory_mb": 1.0}

    rows = mnist_like_rows(30)
    monkeypatch.setattr("bench.ratios.training_rows", lambda _: ("mnist", rows, rows))
    monkeypatch.setattr("bench.ratios.measure_process", measured)
    result = Measurement(1, 2, False, None, tmp_path).measure(row_named("start-cold"))
    assert result.measured["fastvae-cold"].seconds == [10.0, pytest.approx(10 / 3)]
    assert result.measured["fastvae-warm"].seconds == [5.0, 2.5]
    caches = [cache for _, cache in calls]
    assert caches[0] == caches[1] != caches[2] == caches[3]
    outputs = {command[command.index("--output") + 1] for command, _ in calls}
    assert len(outputs) == 4
    for command, _ in calls:
        build_parser().parse_args(command[3:])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell")
def test_a_rest_sees_what_others_do() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            assert max(machine.rest(0.3) for _ in range(5)) > 0.3 / machine.cpus()
        finally:
            other.kill()


def test_processes_are_measured_by_their_ready_line() -> None:
    program = "import time; x = bytearray(60_000_000); print('ready', flush=True); time.sleep(0.2)"
    figures = measure_process([sys.executable, "-c", program], {})
    assert 0 < figures["ready_seconds"] < figures["seconds"] - 0.2
    assert figures["memory_mb"] > 60
    with pytest.raises(RuntimeError, match="gone wrong"):
        measure_process([sys.executable, "-c", "raise SystemExit('gone wrong')"], {})


def test_rows_have_unique_names_and_known_contestants() -> None:
    rows = all_rows(6)
    assert len({row.name for row in rows}) == len(rows)
    assert [row.name for row in rows if row.n_threads] == [
        "threads-1",
        "threads-2",
        "threads-6",
    ]
    for row in rows:
        assert row_named(row.name) == row
    assert {claim.row for claim in CLAIMS} <= {row.name for row in FIXED}
    with pytest.raises(ValueError, match=r"unknown row 'threads-x'; known: train-b1, "):
        row_named("threads-x")
