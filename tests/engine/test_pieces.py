"""Long steps are done in pieces, with the bits of whole steps; given up, they change nothing."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from network_checks import OPTIMIZERS, build, sparse_rows, train, training

from fastvae import VAE
from fastvae.kernels import engine
from fastvae.kernels.engine.pieces import Piece, divide, divide_by_layers, large_layers
from fastvae.kernels.engine.records import BACKWARD_WEIGHT, CLIP, SQUARE_SUMS, TOTALS, UPDATE
from fastvae.kernels.maths.optimizers import NO_UPDATE
from fastvae.model import network as networks

SIZES = (53, (7, 37), 11)


def calls_of(monkeypatch):
    """The pieces that networks run from now on, as they come."""
    calls = []
    run_piece = engine.Workspace.train

    def train(work, arenas, order, run, piece):
        calls.append(piece)
        run_piece(work, arenas, order, run, piece)

    monkeypatch.setattr(engine.Workspace, "train", train)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("flop", [1e5, 2e6, 2e7])  # more parts than tasks, a few, some regions
def test_pieces_have_the_bits_of_a_whole_step(
    optimizer, clip_norm, likelihood, skip_zeros, flop, monkeypatch
):
    rows = sparse_rows(3 * 150 - 40, SIZES[0])  # the last batch is short
    settings = {"n_steps": 3, "batch_size": 150, "optimizer": optimizer, "clip_norm": clip_norm}
    draws = np.array([5]), np.array([5])
    whole, divided = build(SIZES, likelihood=likelihood), build(SIZES, likelihood=likelihood)
    expected = train(whole, rows, skip_zeros=skip_zeros, draws=draws[0], **settings)
    monkeypatch.setattr(networks, "_FLOP_PER_CALL", flop)
    calls = calls_of(monkeypatch)
    totals = train(divided, rows, skip_zeros=skip_zeros, draws=draws[1], **settings)
    assert sum(piece.is_last for piece in calls) == 3
    assert len(calls) > 20
    np.testing.assert_array_equal(totals, expected)
    np.testing.assert_array_equal(divided.parameters, whole.parameters)
    assert draws[0] == draws[1] == 8


def test_gradients_of_many_rows_come_in_pieces(monkeypatch):
    rows = sparse_rows(300, SIZES[0])
    noise = np.random.default_rng(1).normal(size=(300, SIZES[2])).astype(np.float32)
    *figures, expected = build(SIZES).gradients(rows, noise, 2.0, 0.5)
    monkeypatch.setattr(networks, "_FLOP_PER_CALL", 2e6)
    calls = calls_of(monkeypatch)
    *same_figures, gradient = build(SIZES).gradients(rows, noise, 2.0, 0.5)
    assert len(calls) > 20
    assert same_figures == figures
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_a_step_that_is_interrupted_between_pieces_changes_nothing(clip_norm, monkeypatch):
    rows, order = sparse_rows(300, SIZES[0]), np.arange(300)
    network, straight = build(SIZES), build(SIZES)
    settings = {"n_steps": 2, "batch_size": 150, "clip_norm": clip_norm}
    train(straight, rows, **settings)
    monkeypatch.setattr(networks, "_FLOP_PER_CALL", 2e6)
    run = training(network, **settings)
    moments = network.new_arena(), network.new_arena()
    state = [network.parameters, *moments, run.totals, run.draws]

    def go_on(step):
        network.train(rows, order, step, moments=moments, seed=3, skip_zeros=True)

    go_on(run.step(0))
    calls = calls_of(monkeypatch)
    run_piece = engine.Workspace.train
    before = [array.copy() for array in state]
    n_pieces = len(network._training.pieces(run, networks.flop_per_piece()))
    assert n_pieces > 20
    for last in range(n_pieces):

        def interrupted(work, arenas, order, run, piece, last=last):
            if len(calls) == last:
                raise KeyboardInterrupt
            run_piece(work, arenas, order, run, piece)

        calls.clear()
        monkeypatch.setattr(engine.Workspace, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            go_on(run.step(1))
        for array, value in zip(state, before, strict=True):
            np.testing.assert_array_equal(array, value)
    monkeypatch.setattr(engine.Workspace, "train", run_piece)
    go_on(run.step(1))
    np.testing.assert_array_equal(network.parameters, straight.parameters)


def test_a_long_run_ends_after_a_step_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(networks, "_FLOP_PER_CALL", 1e6)
    rows = sparse_rows(300, SIZES[0]).astype(np.float32) / 255
    rows[160, 5] = np.nan
    draws = np.zeros(1, np.int64)
    totals = train(build(SIZES), rows, n_steps=3, batch_size=100, draws=draws)
    assert np.isnan(totals[0])
    assert draws == 2


@pytest.mark.parametrize(("flop", "apart"), [(5e5, True), (2e7, False)])
def test_pieces_are_regions_in_their_order_or_parts_of_one(flop, apart):
    """The rest of the program from TOTALS on is the last."""
    program = (
        build(SIZES).new_workspace(64, training=True, skip_zeros=False).passes.clipped_training
    )
    end = program["kind"].tolist().index(TOTALS)
    *pieces, last = divide(program, 64, flop)
    assert last.is_last
    assert set(last.program["kind"]) == {TOTALS, SQUARE_SUMS, CLIP, UPDATE}
    np.testing.assert_array_equal(last.program, program[end:])
    firsts = [piece for piece in pieces if piece.part == 0]
    assert all((len(first.program) == 1) == apart == (first.n_parts > 1) for first in firsts)
    counted = [(part, first.n_parts) for first in firsts for part in range(first.n_parts)]
    assert counted == [(piece.part, piece.n_parts) for piece in pieces]
    regions = np.concatenate([first.program for first in firsts])
    np.testing.assert_array_equal(regions, program[:end])


def test_a_short_step_is_one_piece():
    program = build(SIZES).new_workspace(64, training=True, skip_zeros=False).passes.training
    (piece,) = divide(program, 64, 1e99)
    assert piece == Piece(program, 0, 1, True)


@pytest.mark.slow
def test_ctrl_c_ends_a_step_of_60000_dense_rows_within_a_second():
    rows = np.random.default_rng(0).random((60_000, 784), np.float32)
    vae = VAE.from_sizes(784, (512,), 32)
    vae.fit(rows[:100], epochs=1, batch_size=100, verbose=False)  # compiled before the clock runs
    sent = []

    def send():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    for delay in (0.5, 1.5):
        timer = threading.Timer(delay, send)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            vae.fit(rows, epochs=100, batch_size=60_000, verbose=False)
        assert time.perf_counter() - sent[-1] < 1.0
        timer.join()


@pytest.mark.parametrize("flop", [1e7, np.inf])
def test_the_gradient_of_a_large_layer_is_done_with_its_pieces(flop):
    """What is written until then: the layer's elements, which no later piece changes."""
    network = build((700, (750, 720), 11))  # 700 x 750 and 750 x 720 weights, both ways
    rows = sparse_rows(40, 700)
    work = network.new_workspace(40, training=True, skip_zeros=True)
    network.hand_over(rows, work)
    work.set(draws_noise=True, seed=3)
    run = replace(training(network, n_steps=1, batch_size=40), optimizer=NO_UPDATE)
    program = work.gradient(run)
    layers = large_layers(program, network.dtype)
    groups = divide_by_layers(program, 40, flop)
    assert len(groups) == len(layers) + 1 == 5
    whole, gradient = network.new_arena(), network.new_arena()
    for piece in divide(program, 40, np.inf):
        first = replace(run, draws=run.draws.copy())
        work.train((network.parameters, *[whole] * 3), np.arange(40), first, piece)
    before = np.zeros(len(whole), bool)
    for pieces, elements in zip(groups[:-1], layers, strict=True):
        for piece in pieces:
            work.train((network.parameters, *[gradient] * 3), np.arange(40), run, piece)
        assert pieces[-1].program["kind"][-1] == BACKWARD_WEIGHT
        before[elements] = True
        np.testing.assert_array_equal(gradient[before], whole[before])
        assert gradient[elements].any()
    assert not gradient[~before].any()
    for piece in groups[-1]:
        work.train((network.parameters, *[gradient] * 3), np.arange(40), run, piece)
    np.testing.assert_array_equal(gradient, whole)
    assert groups[-1][-1].is_last
