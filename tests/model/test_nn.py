"""Dense, MLP and Sampler: values, gradients, initial weights, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from fastvae import MLP, VAE, Dense, Sampler, kernels

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda a: a,
    "relu": lambda a: np.maximum(a, 0),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.logaddexp(0, a),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_feedforward(activation, dtype):
    rng = np.random.default_rng(0)
    layer = Dense(11, 7, activation, dtype=dtype)
    layer.bias = rng.normal(size=7)
    x = rng.normal(size=(5, 11)).astype(dtype)
    weight, bias, wide = (a.astype(float) for a in (layer.weight, layer.bias, x))
    y = layer.feedforward(x)
    # A chain of n fused multiply-adds is off by at most n eps sum |w x|, no activation has a
    # slope above 1, and its own error is a few eps of an output that is at most |a| + 1.
    bound = (11 + 8) * np.finfo(dtype).eps * (abs(wide) @ abs(weight).T + abs(bias) + 1)
    assert y.dtype == dtype
    assert np.all(abs(y - ACTIVATIONS[activation](wide @ weight.T + bias)) <= bound)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_backward_against_finite_differences(activation):
    rng = np.random.default_rng(1)
    layer = Dense(6, 4, activation, dtype=np.float64)
    x, dy = rng.normal(size=(3, 6)), rng.normal(size=(3, 4))
    point = {"x": x, "weight": layer.weight, "bias": rng.normal(size=4)}

    def loss(values):
        layer.weight, layer.bias = values["weight"], values["bias"]
        return np.vdot(dy, layer.feedforward(values["x"]))

    loss(point)
    assert layer.activation == "identity" or np.any(layer.feedforward(x) != 0)
    dx = layer.backward(dy)
    analytic: dict[str, Any] = {"x": dx, "weight": layer.weight_grad, "bias": layer.bias_grad}
    step = 1e-5
    for name, gradient in analytic.items():
        direction = rng.normal(size=point[name].shape)
        up = loss(point | {name: point[name] + step * direction})
        down = loss(point | {name: point[name] - step * direction})
        # The truncation error is of the order of step^2 = 1e-10, rounding of eps / step = 1e-11.
        assert (up - down) / (2 * step) == pytest.approx(np.vdot(gradient, direction), rel=1e-7)


def test_rank_is_kept_and_rows_are_independent():
    mlp = MLP([Dense(9, 6), Dense(6, 4, "tanh")])
    x = np.random.default_rng(2).normal(size=(3, 9)).astype(np.float32)
    y = mlp.feedforward(x)
    dx = mlp.backward(np.ones_like(y))
    assert y.shape == (3, 4)
    assert dx.shape == (3, 9)
    one = mlp.feedforward(x[1])
    assert one.shape == (4,)
    np.testing.assert_array_equal(one, y[1])
    np.testing.assert_array_equal(mlp.backward(np.ones(4)), dx[1])


def test_outputs_and_inputs_belong_to_the_caller():
    layer = Dense(3, 2, "tanh", dtype=np.float64)
    x, dy = np.ones((2, 3)), np.ones((2, 2))
    layer.feedforward(x)
    expected = layer.backward(dy)
    y = layer.feedforward(x)
    x[:] = y[:] = 7
    np.testing.assert_array_equal(layer.backward(dy), expected)


def test_uint8_means_pixels():
    layer = Dense(4, 3, dtype=np.float64)
    x = np.array([[0, 51, 102, 255]], np.uint8)
    np.testing.assert_array_equal(layer.feedforward(x), layer.feedforward(x / 255))


def test_nan_goes_through():
    assert np.isnan(Dense(2, 3, "relu").feedforward([np.nan, 1])).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("activation", "variance"),
    [("relu", 2 / 650), ("tanh", 2 / 650), ("sigmoid", 2 / 650), ("identity", 1 / 400)],
)
def test_initial_weights_are_normal_with_the_documented_variance(activation, variance, dtype):
    layer = Dense(400, 250, activation, dtype=dtype)
    scaled = layer.weight.astype(float) / np.sqrt(variance)
    n = scaled.size
    # The mean of n standard normals has standard deviation 1 / sqrt(n), their mean square
    # sqrt(2 / n), their mean fourth power sqrt(96 / n); five of them are allowed.
    assert abs(scaled.mean()) < 5 / np.sqrt(n)
    assert abs((scaled**2).mean() - 1) < 5 * np.sqrt(2 / n)
    assert abs((scaled**4).mean() - 3) < 5 * np.sqrt(96 / n)
    np.testing.assert_array_equal(layer.bias, 0)


def test_initial_weights_depend_on_seed_and_position_only():
    same, other = Dense(5, 5), Dense(5, 5, seed=1)
    np.testing.assert_array_equal(Dense(5, 5).weight, same.weight)
    assert not np.any(same.weight == other.weight)
    mlp = MLP([Dense(5, 5), Dense(5, 5), Dense(5, 5)])
    weights = [layer.weight for layer in mlp]
    assert not np.any(weights[0] == weights[1])
    assert not np.any(weights[1] == weights[2])
    sampler = Sampler(5, 5)
    assert not np.any(sampler.mean.weight == sampler.log_var.weight)


def test_assigned_weights_are_kept_where_a_layer_joins():
    weight = np.arange(25.0).reshape(5, 5)
    layers = [Dense(5, 5, "tanh") for _ in range(2)]
    layers[1].weight = weight
    sampler = Sampler(5, 2)
    sampler.mean.bias = [3, 4]
    vae = VAE(MLP(layers), sampler, MLP([Dense(2, 5, "sigmoid")]), dtype=np.float64, seed=8)
    np.testing.assert_array_equal(vae.encoder.layers[1].weight, weight)
    np.testing.assert_array_equal(vae.sampler.mean.bias, [3, 4])
    assert vae.encoder.layers[1].dtype == np.float64


def test_weights_are_read_only_copies():
    layer = Dense(3, 2)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 1
    before = layer.weight
    layer.weight = np.ones((2, 3))
    assert not np.any(before == 1)
    np.testing.assert_array_equal(layer.weight, 1)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("weight", np.ones((3, 2)), ValueError, r"weight must have shape \(2, 3\); got \(3, 2\)"),
        ("weight", [[1, 2, np.nan], [1, 2, 3]], ValueError, "weight must be finite"),
        ("weight", np.full((2, 3), 1e300), ValueError, "weight must fit float32"),
        ("weight", np.full((2, 3), "a"), TypeError, "weight must be an array of real numbers"),
        ("bias", np.ones((2, 1)), ValueError, r"bias must have shape \(2,\); got \(2, 1\)"),
        ("bias", [1, np.inf], ValueError, "bias must be finite"),
        ("bias", [1j, 0], TypeError, "bias must be an array of real numbers"),
    ],
)
def test_bad_parameters_change_nothing(name, value, error, message):
    layer = Dense(3, 2)
    before = layer.weight, layer.bias
    with pytest.raises(error, match=message):
        setattr(layer, name, value)
    np.testing.assert_array_equal(layer.weight, before[0])
    np.testing.assert_array_equal(layer.bias, before[1])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(0, 2), ValueError, "n_in must be an integer of at least 1; got 0"),
        (lambda: Dense(3, -2), ValueError, "n_out must be an integer of at least 1; got -2"),
        (
            lambda: Dense(3.0, 2),  # type: ignore[arg-type]
            TypeError,
            "n_in must be an integer",
        ),
        (lambda: Dense(3, 2, cast(Any, "rely")), ValueError, "got 'rely' .*mean 'relu'"),
        (lambda: Dense(3, 2, dtype=np.float16), ValueError, "dtype must be float32 or float64"),
        (lambda: Dense(3, 2, seed=-1), ValueError, "seed must be"),
        (lambda: Sampler(3, 0), ValueError, "n_latent must be an integer of at least 1; got 0"),
        (lambda: MLP([Dense(3, 2), Dense(3, 2)]), ValueError, "layer 1 must have 2 inputs"),
        (
            lambda: MLP([3]),  # type: ignore[list-item]
            TypeError,
            "layer must be a Dense layer; got int",
        ),
        (lambda: MLP([Dense(3, 3)] * 2), ValueError, "is in this MLP already"),
        (lambda: Dense(3, 2).feedforward(np.ones((1, 4))), ValueError, r"\(n, 3\); got \(1, 4\)"),
        (lambda: Dense(3, 2).backward(np.ones((1, 2))), RuntimeError, "feedforward"),
        (lambda: Sampler(3, 2).backward(np.ones((1, 2))), RuntimeError, "feedforward"),
    ],
)
def test_bad_layers(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_backward_wants_the_rows_of_the_last_feedforward():
    layer, sampler = Dense(3, 2), Sampler(3, 2)
    layer.feedforward(np.ones((4, 3)))
    sampler.feedforward(np.ones((4, 3)))
    with pytest.raises(ValueError, match="dy must have 4 rows; got 5"):
        layer.backward(np.ones((5, 2)))
    with pytest.raises(ValueError, match="dz must have 4 rows; got 5"):
        sampler.backward(np.ones((5, 2)))
    with pytest.raises(ValueError, match="kl_weight must be a finite number"):
        sampler.backward(np.ones((4, 2)), kl_weight=np.nan)
    assert layer.weight_grad is None
    assert sampler.mean.weight_grad is None


def test_sampler_draws_from_its_posterior():
    sampler = Sampler(4, 3, dtype=np.float64, seed=5)
    x = np.random.default_rng(3).normal(size=(6, 4))
    noise = Sampler(4, 3, dtype=np.float64, seed=5).noise(6)
    z = sampler.feedforward(x)
    mean, log_var = sampler.mean.feedforward(x), sampler.log_var.feedforward(x)
    # Three roundings and one of exp, of terms of these sizes.
    bound = 8 * np.finfo(float).eps * (abs(mean) + np.exp(log_var / 2) * abs(noise))
    assert np.all(abs(z - (mean + np.exp(log_var / 2) * noise)) <= bound)
    np.testing.assert_array_equal(sampler.sample, z)
    assert not np.any(sampler.feedforward(x) == z)
    assert sampler.feedforward(x[0]).shape == (3,)
    assert sampler.sample is not None
    assert sampler.sample.shape == (3,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sampler_draws_from_heads_however_they_lie_in_memory(dtype):
    """Views of one array, other dtypes and lists: the latents are those of plain copies."""
    n = Sampler(4, 2, dtype=dtype).n_latent
    heads = np.random.default_rng(4).integers(-3, 4, (5, 2 * n))
    mean, log_var = heads[:, :n].astype(dtype), heads[:, n:].astype(dtype)
    wanted = Sampler(4, n, dtype=dtype).draw(mean, log_var)
    for kind in ("f4", "f8", ">f8", "f2", "i8"):
        given = heads.astype(kind)
        frozen = given.copy()
        frozen.flags.writeable = False
        for pair in (
            (given[:, :n], given[:, n:]),
            (frozen[:, :n], frozen[:, n:]),
            (np.asfortranarray(given[:, :n]), given[::-1, n:][::-1]),
            (given[:, :n].tolist(), given[:, n:].tolist()),
        ):
            sampler = Sampler(4, n, dtype=dtype)
            np.testing.assert_array_equal(sampler.draw(*pair), wanted)
            np.testing.assert_array_equal(sampler.sample, wanted)
    assert Sampler(4, n).draw([0, 1], heads[0, n:]).shape == (n,)


@pytest.mark.parametrize(
    ("mean", "log_var", "error", "name"),
    [
        (np.ones((5, 3)), np.ones((5, 2)), ValueError, "mean"),
        (np.ones((5, 2)), np.ones((5, 3)), ValueError, "log_var"),
        (np.ones((5, 2)), np.ones((4, 2)), ValueError, "mean and log_var"),
        (np.ones((5, 2)), np.ones(2), ValueError, "mean and log_var"),
        (np.ones((1, 5, 2)), np.ones((1, 5, 2)), ValueError, "mean"),
        (1.0, 2.0, ValueError, "mean"),
        (np.ones((5, 2), complex), np.ones((5, 2)), TypeError, "mean"),
        (np.ones((5, 2)), [["a", "b"]] * 5, TypeError, "log_var"),
        (np.ones((5, 2)), None, TypeError, "log_var"),
    ],
)
def test_sampler_refuses_what_is_no_posterior(mean, log_var, error, name):
    sampler = Sampler(4, 2)
    with pytest.raises(error, match=f"^{name} must"):
        sampler.draw(mean, log_var)
    assert sampler.sample is None


def test_sampler_keeps_earlier_samples():
    sampler = Sampler(4, 3)
    assert sampler.sample is None
    sampler.feedforward(np.ones(4))
    first = sampler.sample
    copy = np.array(first)
    sampler.feedforward(np.ones(4))
    np.testing.assert_array_equal(first, copy)


def test_sampler_backward_against_finite_differences():
    rng = np.random.default_rng(4)
    x, dz = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))

    def passed(x):
        sampler = Sampler(4, 2, dtype=np.float64, seed=6)
        z = sampler.feedforward(x)
        kl = np.empty(3)
        kernels.kl_divergence(kl, sampler.mean.feedforward(x), sampler.log_var.feedforward(x))
        return sampler, np.vdot(dz, z) + 0.7 * kl.sum()

    direction, step = rng.normal(size=x.shape), 1e-5
    numeric = (passed(x + step * direction)[1] - passed(x - step * direction)[1]) / (2 * step)
    # The truncation error is of the order of step^2 = 1e-10, rounding of eps / step = 1e-11.
    gradient = passed(x)[0].backward(dz, kl_weight=0.7)
    assert numeric == pytest.approx(np.vdot(gradient, direction), rel=1e-7)


def test_layers_of_a_vae_are_fixed():
    vae = VAE.from_sizes(6, (5,), 2)
    with pytest.raises(ValueError, match="layers of a VAE are fixed"):
        vae.encoder.add_layer(Dense(5, 5))
    with pytest.raises(ValueError, match="layers of a VAE are fixed"):
        MLP(vae.decoder.layers)
    with pytest.raises(ValueError, match="can be used once, in one VAE"):
        VAE(vae.encoder, vae.sampler, vae.decoder)


def test_looking_at_weights_is_not_assigning_them():
    """They are drawn when they are asked for, and anew from the layer's position in a network."""
    looked_at, other = Dense(6, 5, seed=3), Dense(6, 5, seed=3)
    first = looked_at.weight
    np.testing.assert_array_equal(looked_at.weight, first)
    mlps = [MLP([Dense(4, 6), layer]) for layer in (looked_at, other)]
    np.testing.assert_array_equal(mlps[0].layers[1].weight, mlps[1].layers[1].weight)
    assert not np.array_equal(looked_at.weight, first)


def test_assigning_biases_keeps_the_weights_that_were_shown():
    layer = Dense(6, 5, seed=3)
    layer.bias = np.ones(5)
    np.testing.assert_array_equal(layer.weight, Dense(6, 5, seed=3).weight)
    MLP([Dense(4, 6), layer])
    np.testing.assert_array_equal(layer.weight, Dense(6, 5, seed=3).weight)


def test_an_assigned_array_may_change_afterwards():
    layer, weight = Dense(3, 2), np.ones((2, 3), np.float32)
    layer.weight = weight
    weight[:] = 7
    np.testing.assert_array_equal(layer.weight, np.ones((2, 3)))
