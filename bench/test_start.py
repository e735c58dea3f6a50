"""A process from its start to its first trained batch: nothing compiled, and everything."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import environment
from bench.conftest import Describe
from bench.contestants import SUITE
from bench.measure import measure_process


def first_batch(contestant: str, cache: Path) -> float:
    """Run the process; return the seconds to its ready line."""
    command = [sys.executable, "-m", "bench.start", contestant]
    variables = environment.clean(os.environ) | {"NUMBA_CACHE_DIR": str(cache)}
    return measure_process(command, variables)["ready_seconds"]


def test_cold(benchmark: Any, describe: Describe, tmp_path: Path) -> None:
    """The machine code of training is compiled: once per installation."""
    describe("process start to first batch, nothing compiled", 0, "fastvae")
    benchmark.pedantic(first_batch, args=("fastvae", tmp_path / "empty"), rounds=1)


@pytest.mark.parametrize("contestant", SUITE)
def test_warm(benchmark: Any, describe: Describe, tmp_path: Path, contestant: str) -> None:
    """Every later start."""
    describe("process start to first batch, cache warm", 0, contestant)
    benchmark.pedantic(first_batch, args=(contestant, tmp_path), rounds=3, warmup_rounds=1)
