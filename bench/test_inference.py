"""Encode, decode and sample: fastvae and the NumPy baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.conftest import BATCH_SIZES, Build, Describe
from bench.contestants import SUITE
from bench.workload import Sizes, mnist_like_rows

SIZES = Sizes()
pytestmark = [
    pytest.mark.benchmark(warmup=True, warmup_iterations=1, max_time=0.3, min_rounds=5),
    pytest.mark.parametrize("contestant", SUITE),
    pytest.mark.parametrize("batch_size", BATCH_SIZES),
]


def test_encode(
    benchmark: Any, describe: Describe, build: Build, batch_size: int, contestant: str
) -> None:
    model = build(contestant)
    data = model.prepare(mnist_like_rows(batch_size, SIZES.n_features))
    describe("encode", batch_size, contestant, SIZES.encoding_flops * batch_size)
    benchmark(model.encode, data)


def test_decode(
    benchmark: Any, describe: Describe, build: Build, batch_size: int, contestant: str
) -> None:
    model = build(contestant)
    generator = np.random.Generator(np.random.Philox(0))
    latents = generator.standard_normal((batch_size, SIZES.n_latent), np.float32)
    describe("decode", batch_size, contestant, SIZES.decoding_flops * batch_size)
    benchmark(model.decode, latents)


def test_sample(
    benchmark: Any, describe: Describe, build: Build, batch_size: int, contestant: str
) -> None:
    model = build(contestant)
    describe("sample", batch_size, contestant, SIZES.decoding_flops * batch_size)
    benchmark(model.sample, batch_size)
