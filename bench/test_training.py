"""Training steps alone, and whole epochs: fastvae and the NumPy baseline.

Steps take the batches as they lie; an epoch is a `fit`, with its checks, shuffling and history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from bench.conftest import BATCH_SIZES, Build, Describe
from bench.contestants import SUITE
from bench.numpy_vae import NumpyVAE
from bench.ours import Steps
from bench.workload import Sizes, mnist_like_rows

SIZES = Sizes()
EPOCH_ROWS = {1: 500, 20: 5_000, 128: 20_480, 512: 20_480, 2048: 20_480}
STEPS = 10
ROUNDS = 5


def _measure(benchmark: Any, run: Callable[[], Any]) -> None:
    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("contestant", SUITE)
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
        model, order = cast(NumpyVAE, build(contestant)), np.arange(n_rows)
        run = lambda: model.train_steps(rows, order, batch_size)  # noqa: E731
    describe(f"{STEPS} training steps", batch_size, contestant, SIZES.training_flops * n_rows)
    _measure(benchmark, run)


@pytest.mark.parametrize("contestant", SUITE)
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
