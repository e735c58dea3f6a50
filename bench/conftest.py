"""What the suite's benchmarks share: contestants, the FMA peak, and how each describes itself.

Times are medians of a few rounds; the machine's peak is measured before and after each product,
since on a shared machine it changes within minutes. fastvae and NumPy share this process, so each
benchmark begins with a rest in which the thread pools of the one before go to sleep. PyTorch and
JAX are compared by `bench.ratios` alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import contestants, environment, machine
from bench.contestants import Contestant
from bench.peak import measure_peak
from bench.workload import Sizes, initial_parameters, mnist_like_rows

SETTLE_SECONDS = 0.2
PEAK_ROUNDS = 3
KEPT_STATS = ("min", "q1", "median", "q3", "rounds")
BATCH_SIZES = (1, 20, 128, 512, 2048)

Describe = Callable[..., None]
Build = Callable[[str], Contestant]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse every setting where something is to be measured: this process has read them already.

    Raises
    ------
    pytest.UsageError
        If the environment would slow a contestant.
    """
    here = Path(__file__).resolve().parent
    is_own = any(here in item.path.parents for item in items)
    if is_own and (
        config.getoption("benchmark_enable") or not config.getoption("benchmark_disable")
    ):
        _check_environment()


def _check_environment() -> None:
    found = environment.settings(os.environ)
    if found:
        raise pytest.UsageError(
            f"{', '.join(found)} may change how fast contestants compute, and benchmarks are "
            f"measured without; {environment.unset_them(found)}"
        )
    reason = machine.why_blas_is_unknown()
    if reason is not None:
        raise pytest.UsageError(reason)


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Put the facts that matter in place of pytest-benchmark's, which name the host."""
    machine_info.clear()
    machine_info.update(machine.facts(), blas_kernels=machine.blas_kernels())


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Leave out the state of the user's repository, and of each benchmark all but the quartiles.

    Single rounds alone are 100 MB.
    """
    output_json.pop("commit_info", None)
    for entry in output_json["benchmarks"]:
        stats = {name: float(f"{entry['stats'][name]:.4g}") for name in KEPT_STATS}
        kept = {"name": entry["name"], "stats": stats, "extra_info": entry["extra_info"]}
        entry.clear()
        entry.update(kept)


@pytest.fixture
def build() -> Build:
    """Return a contestant of the seed's model by name."""

    def build(name: str) -> Contestant:
        sizes = Sizes()
        model = contestants.build(name, sizes)
        model.set_parameters(initial_parameters(sizes, mnist_like_rows(1000, sizes.n_features)))
        return model

    return build


@pytest.fixture
def describe(benchmark: Any) -> Any:
    """Say what a benchmark is, before it runs; afterwards its GFLOP/s are filled in."""
    flops, peak = 0.0, 0.0

    def describe(operation: str, batch_size: int, contestant: str, work: float = 0.0) -> None:
        nonlocal flops, peak
        flops = work
        benchmark.group = f"{operation}, batch {batch_size}" if batch_size else operation
        benchmark.extra_info.update(
            operation=operation, batch_size=batch_size, contestant=contestant
        )
        time.sleep(SETTLE_SECONDS)
        if flops:
            peak = measure_peak(PEAK_ROUNDS)

    yield describe
    if benchmark.stats is not None and flops:
        rate = flops / benchmark.stats.stats.median
        time.sleep(SETTLE_SECONDS)  # other libraries' threads spin on for a while
        peak = max(peak, measure_peak(PEAK_ROUNDS))
        benchmark.extra_info.update(
            gflops=round(rate / 1e9, 2), percent_of_peak=round(100 * rate / peak, 1)
        )
