"""Each public kernel against its NumPy reference."""

from __future__ import annotations

from typing import Any

import pytest

from bench.conftest import BATCH_SIZES, Describe
from bench.kernel_cases import PER_BATCH, WHOLE, Case
from fastvae import kernels
from fastvae.kernels import reference

MODULES = {"fastvae": kernels, "numpy": reference}


@pytest.mark.benchmark(warmup=True, warmup_iterations=1, max_time=0.3, min_rounds=5)
@pytest.mark.parametrize("contestant", MODULES)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("case", PER_BATCH, ids=lambda case: case.operation)
def test_per_batch(
    benchmark: Any, describe: Describe, case: Case, batch_size: int, contestant: str
) -> None:
    describe(case.operation, batch_size, contestant, case.flops_per_row * batch_size)
    benchmark(getattr(MODULES[contestant], case.name), *case.arguments(batch_size))


@pytest.mark.benchmark(warmup=True, warmup_iterations=1, max_time=0.3, min_rounds=5)
@pytest.mark.parametrize("contestant", MODULES)
@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.operation)
def test_whole(benchmark: Any, describe: Describe, case: Case, contestant: str) -> None:
    describe(case.operation, 0, contestant)
    benchmark(getattr(MODULES[contestant], case.name), *case.arguments(0))
