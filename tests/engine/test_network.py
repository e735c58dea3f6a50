"""The network's passes: fused equals separate, skipping equals dense, and the plain kernels."""

from __future__ import annotations

import numpy as np
import pytest
from network_checks import OPTIMIZERS, SIZES, build, sparse_rows, train

from fastvae import kernels
from fastvae.kernels import engine
from fastvae.kernels.engine import steps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("batch_size", [1, 37, 300])
def test_skipping_zeros_changes_no_bit(sizes, dtype, batch_size):
    rows = sparse_rows(4 * batch_size - batch_size // 2, sizes[0])
    dense, skipping = build(sizes, dtype), build(sizes, dtype)
    first = train(dense, rows, batch_size=batch_size)
    second = train(skipping, rows, batch_size=batch_size, skip_zeros=True)
    np.testing.assert_array_equal(dense.parameters, skipping.parameters)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(dense.parameters, build(sizes, dtype).parameters)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("sizes", SIZES)
def test_fused_update_equals_stored_then_applied(sizes, optimizer, dtype):
    rows = sparse_rows(4 * 37, sizes[0])
    fused, separate = build(sizes, dtype), build(sizes, dtype)
    train(fused, rows, optimizer=optimizer)
    # A limit that no gradient reaches: the gradient is stored and applied as it is.
    train(separate, rows, optimizer=optimizer, clip_norm=1e30)
    np.testing.assert_array_equal(fused.parameters, separate.parameters)


def test_each_step_has_the_learning_rate_and_the_beta_of_its_place_in_the_schedule():
    rates, betas = [0.01, 0.3, 0.02], [0.0, 2.0, 0.5]
    together, apart = build(SIZES[0]), build(SIZES[0])
    rows = sparse_rows(3 * 37, SIZES[0][0])
    settings = {"optimizer": "sgd", "hyper": np.zeros(2)}
    schedule = engine.new_schedule(3, np.array(rates), np.array(betas))
    totals = train(together, rows, n_steps=3, schedule=schedule, **settings)
    summed = np.zeros_like(totals)
    for step, (rate, beta) in enumerate(zip(rates, betas, strict=True)):
        alone = {"first_step": step, "draws": np.array([step])}
        schedule = engine.new_schedule(1, rate, beta)
        summed += train(apart, rows, n_steps=1, schedule=schedule, **alone, **settings)
    np.testing.assert_array_equal(together.parameters, apart.parameters)
    loss, reconstruction, kl, *_ = engine.read_totals(totals)
    assert loss != reconstruction + kl
    np.testing.assert_allclose(totals, summed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_gradients_norm_is_one_chain_per_output(sizes, dtype):
    """Over its inputs and then its bias; the outputs are added in their order.

    Squares of float32 are exact in float64, so that the chains agree to the bit; squares of float64
    are rounded here and not there, once for each of the terms, which are positive.
    """
    network = build(sizes, dtype)
    rows = sparse_rows(37, sizes[0])
    train(network, rows, n_steps=1, optimizer="sgd", clip_norm=1e-3)
    total = 0.0
    for layer in range(len(network.layers)):
        weight, bias = engine.read_dense(network.table, network._gradient, layer)
        terms = np.square(np.column_stack([weight, bias]).astype(np.float64))
        for chain in np.add.accumulate(terms, axis=1)[:, -1]:
            total += chain
    found = 0.0
    for chain in network._training._partial:
        found += chain
    if dtype == np.float32:
        assert found == total
    assert found == pytest.approx(total, rel=terms.shape[1] * np.finfo(np.float64).eps)


def test_only_programs_that_read_the_data_look_for_infinite_weights():
    """Where nothing is skipped, nothing can be hidden, and an evaluation's draws need no scan."""
    passes = build(SIZES[0]).new_workspace(4, training=True, skip_zeros=False).passes

    def reads_data(program):
        return steps._reads_data.py_func(program.view(np.recarray))

    for name, reads in (("losses", False), ("decoding", False), ("encoding", True)):
        assert reads_data(getattr(passes, name)) == reads, name
    assert reads_data(passes.training)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_pads_stay_zero(optimizer, clip_norm):
    network = build((53, (7, 37), 11))
    train(network, sparse_rows(370, 53), n_steps=10, optimizer=optimizer, clip_norm=clip_norm)
    inside = network.new_arena()
    for i, (n_in, n_out, _) in enumerate(network.layers):
        ones = np.ones((n_out, n_in), np.float32), np.ones(n_out, np.float32)
        engine.write_dense(network.table, inside, i, *ones)
    assert np.all(network.parameters[inside == 0] == 0)
    assert np.count_nonzero(inside == 0) > 0


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("n_rows", [41, 90, 300])  # zeros are skipped from 64 rows on
def test_passes_have_the_bits_of_the_plain_kernels(sizes, n_rows):
    network = build(sizes, activation="tanh")
    rows = sparse_rows(n_rows, sizes[0])
    x = np.empty(rows.shape, np.float32)
    kernels.gather(x, rows, np.arange(len(rows)))
    outputs = []
    for i, (_, n_out, activation) in enumerate(network.layers):
        if i == network.n_encoder + 1:
            x = np.ascontiguousarray(x[:, : network.n_latent])
        out = np.empty((len(x), n_out), np.float32)
        weight, bias = network.read_dense(i)
        kernels.dense_forward(out, x, weight, bias, kernels.ACTIVATIONS[activation])
        outputs.append(out)
        x = out
    mean, log_var = network.encode(rows)
    head = outputs[network.n_encoder]
    np.testing.assert_array_equal(np.hstack([mean, log_var]), head)
    np.testing.assert_array_equal(network.reconstruct(rows), outputs[-1])
    np.testing.assert_array_equal(network.decode(mean), outputs[-1])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("n_rows", [23, 300])  # layers of few panels are split by rows
def test_last_layer_gradient_has_the_bits_of_the_plain_kernels(likelihood, n_rows):
    n_features, n_latent = 61, 5
    network = build((n_features, (), n_latent), likelihood=likelihood)
    rows = sparse_rows(n_rows, n_features)
    noise = np.random.default_rng(1).normal(size=(n_rows, n_latent)).astype(np.float32)
    _, _, _, arena = network.gradients(rows, noise, 1.0, 1.0)

    x = np.empty(rows.shape, np.float32)
    kernels.gather(x, rows, np.arange(n_rows))
    mean, log_var = network.encode(rows)
    z, dz = np.empty_like(mean), np.empty_like(mean)
    kernels.reparameterise(z, mean, log_var, noise)
    weight, bias = network.read_dense(1)
    output, delta = np.empty_like(x), np.empty_like(x)
    kernels.dense_forward(output, z, weight, bias, kernels.ACTIVATIONS["identity"])
    backward = {
        "bernoulli": kernels.bernoulli_loss_backward,
        "gaussian": kernels.gaussian_loss_backward,
    }
    backward[likelihood](delta, output, x, 1.0 / n_rows)
    dweight, dbias = np.empty_like(weight), np.empty_like(bias)
    kernels.dense_backward_weight(dweight, delta, z)
    kernels.dense_backward_bias(dbias, delta)
    stored_weight, stored_bias = engine.read_dense(network.table, arena, 1)
    np.testing.assert_array_equal(stored_weight, dweight)
    np.testing.assert_array_equal(stored_bias, dbias)

    kernels.dense_backward_input(dz, delta, weight)
    head = np.empty((2, n_rows, n_latent), np.float32)
    kernels.reparameterise_backward(head[0], head[1], dz, log_var, noise)
    kernels.kl_divergence_backward(head[0], head[1], mean, log_var, 1.0 / n_rows)
    head_weight, _ = network.read_dense(0)
    dhead = np.empty_like(head_weight)
    kernels.dense_backward_weight(dhead, np.ascontiguousarray(np.hstack([*head])), x)
    np.testing.assert_array_equal(engine.read_dense(network.table, arena, 0)[0], dhead)


def test_a_nan_pixel_stays_visible_where_zeros_are_skipped():
    network = build((29, (17,), 3))
    rows = sparse_rows(40, 29).astype(np.float32) / 255
    rows[11, 5] = np.nan
    totals = train(network, rows, n_steps=1, batch_size=40, skip_zeros=True)
    assert np.isnan(totals[0])


def test_an_infinite_weight_is_not_hidden_behind_a_zero_pixel():
    network = build((29, (17,), 3))
    weight, bias = network.read_dense(0)
    weight[3, 4] = np.inf
    network.write_dense(0, weight, bias)
    totals = train(network, np.zeros((40, 29), np.uint8), n_steps=1, batch_size=40, skip_zeros=True)
    assert np.isnan(totals[0])


def test_encoding_does_not_hide_an_infinite_weight():
    network = build((29, (17,), 3))
    weight, bias = network.read_dense(0)
    weight[3, 4] = np.inf
    network.write_dense(0, weight, bias)
    mean, _ = network.encode(np.zeros((90, 29), np.uint8))
    assert np.isnan(mean).all()


def test_weights_are_looked_at_once_after_each_write(monkeypatch):
    network = build((29, (17,), 3))
    rows = np.zeros((90, 29), np.uint8)
    looks, is_finite = [], np.isfinite

    def look(values):
        looks.append(values.shape)
        return is_finite(values)

    monkeypatch.setattr(np, "isfinite", look)
    for _ in range(3):
        network.encode(rows)
        network.evaluate(rows, 1, seed=0)
    assert len(looks) == 1
    weight, bias = network.read_dense(0)
    weight[3, 4] = np.inf
    network.write_dense(0, weight, bias)
    for _ in range(2):
        assert np.isnan(network.encode(rows)[0]).all()
        assert np.isnan(network.evaluate(rows, 1, seed=0)[0]).all()
    assert len(looks) == 2
    weight[3, 4] = 1.0
    with network.gate.writing:
        network.write_dense(0, weight, bias)
        assert is_finite(network.encode(rows)[0]).all()


def test_evaluation_does_not_depend_on_the_chunks():
    network = build((29, (17,), 3))
    rows = sparse_rows(1200, 29)
    whole = np.array(network.evaluate(rows, 2, seed=5))
    head = np.array(network.evaluate(rows[:700], 2, seed=5))
    np.testing.assert_array_equal(whole[:, :700], head)
    assert not np.array_equal(whole, np.array(network.evaluate(rows, 2, seed=6)))


def test_noise_of_a_step_is_that_of_the_generator():
    """One step from drawn noise equals the gradient step from the same noise given."""
    drawn = build((29, (17,), 3))
    rows = sparse_rows(19, 29)
    noise = np.empty((19, 3), np.float32)
    kernels.normal(noise, 3, kernels.STREAM_NOISE, 8)
    given = build((29, (17,), 3))
    _, _, _, gradient = given.gradients(rows, noise, 1.0, 1.0)
    velocity = given.new_arena()
    kernels.sgd_update(given.parameters, gradient, velocity, 0.01, 0.9)
    train(drawn, rows, n_steps=1, batch_size=19, optimizer="sgd", draws=np.array([8]))
    np.testing.assert_array_equal(drawn.parameters, given.parameters)


@pytest.mark.parametrize(("share", "pays"), [(0.05, True), (0.3, True), (0.5, False), (0.9, False)])
def test_skipping_pays_where_most_inputs_are_zero(share, pays):
    rows = np.random.default_rng(2).random((600, 100)) < share
    assert build((100, (8,), 2)).pays_to_skip(rows.astype(np.uint8)) is pays
