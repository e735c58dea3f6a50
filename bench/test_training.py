"""The training step and whole epochs: fastvae, the NumPy baseline, and the peers.

A step of the others is a share of a `fit` of many; that of fastvae is the engine's own, without
the checks, the shuffling and the history of `fit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.conftest import BATCH_SIZES, Build, Describe
from bench.contestants import ENTRIES
from bench.ours import Steps
from bench.workload import Sizes, mnist_like_rows

SIZES = Sizes()
EPOCH_ROWS = {1: 500, 20: 5_000, 128: 20_480, 512: 20_480, 2048: 20_480}
STEPS = 10
ROUNDS = 5


def _measure(benchmark: Any, run: Callable[[], Any]) -> None:
    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("contestant", ENTRIES)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_steps(
    benchmark: Any, describe: Describe, build: Build, batch_size: int, contestant: str
) -> None:
    n_rows = STEPS * batch_size
    rows = mnist_like_rows(n_rows, SIZES.n_features)
    run: Callable[[], Any]
    if contestant == "fastvae":
        run = Steps(SIZES, rows, batch_size).run
    else:
        model = build(contestant)
        data = model.prepare(rows)
        run = lambda: model.fit(data, 1, batch_size)  # noqa: E731
    describe(f"{STEPS} training steps", batch_size, contestant, SIZES.training_flops * n_rows)
    _measure(benchmark, run)


@pytest.mark.parametrize("contestant", ENTRIES)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_epoch(
    benchmark: Any, describe: Describe, build: Build, batch_size: int, contestant: str
) -> None:
    n_rows = EPOCH_ROWS[batch_size]
    model = build(contestant)
    data = model.prepare(mnist_like_rows(n_rows, SIZES.n_features))
    operation = "an epoch of 20,480 rows (batch 1: 500, batch 20: 5,000)"
    describe(operation, batch_size, contestant, SIZES.training_flops * n_rows)
    _measure(benchmark, lambda: model.fit(data, 1, batch_size))
