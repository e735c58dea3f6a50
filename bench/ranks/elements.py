"""What an owner does with each element of a gradient: sums of two, and the update. One thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE
from fastvae import kernels

_SIZE = 2**22
"""Elements of an array: 4.2 million, of which the 1024-wide model has 3.9."""
_TIMES = 20


def elements() -> dict[str, float]:
    """Seconds for each element in float32: `add` a block's sum, `update` a weight by Adam."""
    arrays = [np.ones(_SIZE, np.float32) for _ in range(4)]
    parameter, gradient, moment1, moment2 = arrays
    before = kernels.get_num_threads()
    kernels.set_num_threads(1)
    try:
        return {
            "add": _seconds(lambda: kernels.weighted_sum(parameter, parameter, gradient, 0.5, 0.5)),
            "update": _seconds(
                lambda: kernels.adam_update(
                    parameter, gradient, moment1, moment2, 1, LEARNING_RATE, BETA1, BETA2, EPS
                )
            ),
        }
    finally:
        kernels.set_num_threads(before)


def _seconds(work: Callable[[], object]) -> float:
    """Of the fastest call, for each element."""
    work()
    found = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found) / _SIZE
