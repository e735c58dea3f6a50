"""Subnormal numbers: flushed while a network trains, as usual afterwards."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from fastvae import VAE, kernels
from fastvae.kernels import engine
from fastvae.kernels.machine import subnormals as _subnormals
from fastvae.kernels.machine.isa import processor_family

SUBNORMAL = {np.float32: 1e-39, np.float64: 1e-310}


@numba.njit
def products(values, factor, flush):
    """values * factor, with or without flushing; the mode is restored."""
    before = _subnormals.flush_subnormals() if flush else 0
    result = values * factor
    if flush:
        _subnormals.restore_mode(before)
    return result


def test_the_mode_is_set_and_put_back():
    values = np.full(100, SUBNORMAL[np.float32], np.float32)
    assert (products(values, np.float32(0.5), False) > 0).all()
    assert (products(values, np.float32(0.5), True) == 0).all()
    assert (products(values, np.float32(0.5), False) > 0).all()


@pytest.mark.parametrize("dtype", SUBNORMAL)
def test_what_rounds_to_the_smallest_normal_number_is_flushed_on_arm_only(dtype):
    """Arm calls a result subnormal before it is rounded, x86 afterwards: one in 2^24 (float64:
    2^53) of the results next to that number, whose bits so differ between the two."""
    smallest, eps = np.finfo(dtype).tiny, np.finfo(dtype).eps
    above, below = np.sqrt(smallest) * np.array([1 + eps, 1 - eps], dtype)
    values = np.full(100, above, dtype)

    assert (products(values, below, False) == smallest).all()
    flushed = 0 if processor_family() == "arm" else smallest
    assert (products(values, below, True) == flushed).all()


@pytest.mark.parametrize("dtype", SUBNORMAL)
def test_moments_of_dead_inputs_end_at_zero(dtype):
    network = VAE.from_sizes(29, (17,), 3, dtype=dtype).network
    moments = (network.new_arena(), network.new_arena())
    moments[0][:] = SUBNORMAL[dtype]
    rows = np.zeros((16, 29), np.uint8)  # so the first layer's weights have no gradient
    run = engine.Training(
        batch_size=16,
        totals=engine.new_totals(3),
        optimizer=kernels.OPTIMIZERS["adam"],
        hyper=np.array([0.9, 0.999, 1e-8]),
        schedule=engine.new_schedule(1, 1e-3),
    )
    network.train(rows, np.arange(16), run, moments=moments, seed=0, skip_zeros=False)
    weight, _ = engine.read_dense(network.table, moments[0], 0)
    assert (weight == 0).all()
    _, bias = engine.read_dense(network.table, moments[0], 3)
    assert (np.abs(bias) > 1e-6).any()
    assert np.float64(SUBNORMAL[np.float64]) * 0.5 > 0  # this thread's mode is as before
