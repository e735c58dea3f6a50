"""Each public kernel against its NumPy reference."""

from __future__ import annotations

from typing import Any

import pytest

from bench.conftest import BATCH_SIZES, Describe
from bench.kernel_cases import CASES, SEED_SIZES, Case
from fastvae import kernels
from fastvae.kernels import reference

MODULES = {"fastvae": kernels, "numpy": reference}
NO_BATCH = 0
CASES_AND_BATCHES = [
    (case, batch_size)
    for case in CASES
    for batch_size in (BATCH_SIZES if case.has_batch else (NO_BATCH,))
]


def name_of(value: Case | int) -> str:
    """The name of a parameter in the name of a benchmark."""
    return value.operation if isinstance(value, Case) else str(value)


@pytest.mark.benchmark(warmup=True, warmup_iterations=1, max_time=0.3, min_rounds=5)
@pytest.mark.parametrize("contestant", MODULES)
@pytest.mark.parametrize(("case", "batch_size"), CASES_AND_BATCHES, ids=name_of)
def test_kernel(
    benchmark: Any, describe: Describe, case: Case, batch_size: int, contestant: str
) -> None:
    sizes = SEED_SIZES | {"B": batch_size}
    describe(case.operation, batch_size, contestant, case.flops(sizes))
    benchmark(getattr(MODULES[contestant], case.name), *case.arguments(sizes).values())
