"""Training on grey rows that are made binary at each visit, as on binary rows given as data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_checks import THREADS
from network_checks import build, sparse_rows, training

from fastvae import kernels
from fastvae.kernels import engine
from fastvae.kernels.maths.philox import STREAM_BINARY_VISITS
from fastvae.model import network as networks

SIZES = (53, (7, 37), 11)
SEED = 3
each_skip = pytest.mark.parametrize("skip_zeros", [False, True])


def seen(rows, update, dtype):
    """What an update sees of rows: element b I + c of its stream for column c of row b."""
    u = np.empty(rows.shape, dtype)
    kernels.reference.uniform(u, SEED, STREAM_BINARY_VISITS, update)
    return ((rows / dtype(255)).astype(dtype) >= u).astype(dtype)


def trained(rows, dtype, skip_zeros, **settings):
    """The network after a run that makes rows binary itself."""
    network = build(SIZES, dtype)
    moments = network.new_arena(), network.new_arena()
    run = training(network, binarization="dynamic", **settings)
    order = np.arange(len(rows))
    network.train(rows, order, run, moments=moments, seed=SEED, skip_zeros=skip_zeros)
    return network, run.totals


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@each_skip
def test_each_update_sees_a_draw_of_its_own(dtype, clip_norm, skip_zeros):
    rows = sparse_rows(3 * 37 + 20, SIZES[0])  # the last batch is short
    settings = {"n_steps": 4, "batch_size": 37, "clip_norm": clip_norm}
    network, totals = trained(rows, dtype, skip_zeros, draws=np.array([5]), **settings)
    expected = build(SIZES, dtype)
    moments = expected.new_arena(), expected.new_arena()
    run = training(expected, draws=np.array([5]), **settings)
    for s in range(4):
        batch = seen(rows[37 * s : 37 * s + 37], 5 + s, dtype)
        order, step = np.arange(len(batch)), replace(run.step(s), first_step=0)
        expected.train(batch, order, step, moments=moments, seed=SEED, skip_zeros=skip_zeros)
    np.testing.assert_array_equal(totals, run.totals)
    np.testing.assert_array_equal(network.parameters, expected.parameters)


def test_zeros_skipped_threads_and_pieces_do_not_show(monkeypatch):
    rows = sparse_rows(3 * 150 - 40, SIZES[0])
    settings = {"n_steps": 3, "batch_size": 150}
    expected, totals = trained(rows, np.float32, False, **settings)
    restore = kernels.get_num_threads()
    try:
        for flop in (networks._FLOP_PER_CALL, 2e6, 1e5):
            monkeypatch.setattr(networks, "_FLOP_PER_CALL", flop)
            for n_threads in THREADS:
                kernels.set_num_threads(n_threads)
                for skip_zeros in (False, True):
                    network, found = trained(rows, np.float32, skip_zeros, **settings)
                    np.testing.assert_array_equal(found, totals)
                    np.testing.assert_array_equal(network.parameters, expected.parameters)
    finally:
        kernels.set_num_threads(restore)


@each_skip
def test_draws_have_the_mean_of_the_values(skip_zeros):
    """Within 5 standard errors, over 400 visits of the same rows."""
    rows = sparse_rows(16, SIZES[0])
    network = build(SIZES)
    moments, order = (network.new_arena(), network.new_arena()), np.arange(16)
    total, n = np.zeros(rows.shape), 400
    run = training(network, n_steps=1, batch_size=16, binarization="dynamic")
    for _ in range(n):
        network.train(rows, order, run, moments=moments, seed=SEED, skip_zeros=skip_zeros)
        total += network._training.matrix(engine.INPUT, 16, SIZES[0])
    p = rows / 255
    assert set(np.unique(total[rows == 0])) == {0}
    assert set(np.unique(total[rows == 255])) <= {n}
    assert (np.abs(total / n - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()


def test_the_programs_of_other_networks_are_what_they_were():
    work = build(SIZES).new_workspace(4, training=True, skip_zeros=False)
    plain, dynamic = work.passes, work.passes.binarizing("dynamic")
    assert plain.binarizing(None) is plain
    assert work.passes.binarizing("dynamic") is dynamic
    assert not plain.training["task_address"].any()
    assert np.count_nonzero(dynamic.training["task_address"]) == 1
    assert len(dynamic.training) == len(plain.training)
