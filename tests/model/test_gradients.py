"""Gradients of the whole VAE in float64 against directional finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from model_checks import parameters, set_parameter

from fastvae import VAE, kernels

HIDDEN: dict[int, tuple[int, ...]] = {0: (), 1: (5,), 2: (5, 4), 3: (5, 4, 3)}
STEP = 1e-3
# Fourth-order central differences: (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h. The truncation
# error is of the order of h^4 = 1e-12, rounding of eps |f| / h = 1e-12.
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
TOLERANCE = 1e-6


def make_case(seed, **settings):
    vae = VAE.from_sizes(6, n_latent=2, dtype=np.float64, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    for layer in vae.named_layers().values():
        layer.bias = rng.normal(scale=0.3, size=layer.n_out)
    return vae, rng.random((3, 6)), rng.normal(size=(3, 2)), rng


def hidden_signs(vae, X, noise):
    """The signs of all pre-activations before a kink."""
    signs = []

    def run(h, layers):
        for layer in layers:
            a = h @ layer.weight.T + layer.bias
            signs.append(a > 0)
            h = {"relu": np.maximum(a, 0), "leaky_relu": np.where(a > 0, a, 0.01 * a)}.get(
                layer.activation, a
            )
        return h

    h = run(X, vae.encoder)
    mean, log_var = (
        h @ layer.weight.T + layer.bias for layer in (vae.sampler.mean, vae.sampler.log_var)
    )
    run(mean + np.exp(log_var / 2) * noise, vae.decoder)
    return np.concatenate([s.ravel() for s in signs])


def losses_along(vae, X, noise, point, direction):
    """The loss and the signs at each place of the stencil."""
    losses, signs = [], []
    for multiple, _ in STENCIL:
        for name, array in point.items():
            set_parameter(vae, name, array + multiple * STEP * direction[name])
        losses.append(vae.gradients(X, noise)[0].loss)
        signs.append(hidden_signs(vae, X, noise))
    for name, array in point.items():
        set_parameter(vae, name, array)
    return losses, signs


def check_directions(kinked, **settings):
    """Compare in a direction through all arrays, and in one through each."""
    for seed in range(20):
        vae, X, noise, rng = make_case(seed, **settings)
        point = parameters(vae)
        random = {name: rng.normal(size=array.shape) for name, array in point.items()}
        length = np.sqrt(sum(np.vdot(d, d) for d in random.values()))
        zero = {name: np.zeros_like(array) for name, array in point.items()}
        directions = [{name: d / length for name, d in random.items()}]
        directions += [zero | {n: d / np.linalg.norm(d)} for n, d in random.items()]
        runs = [losses_along(vae, X, noise, point, direction) for direction in directions]
        base = hidden_signs(vae, X, noise)
        if not kinked or all(np.array_equal(base, s) for _, signs in runs for s in signs):
            break
    else:
        raise AssertionError("no point without a sign change within the step")
    gradients = vae.gradients(X, noise)[1]
    assert gradients.keys() == point.keys()
    for i, ((losses, _), direction) in enumerate(zip(runs, directions, strict=True)):
        weights = [weight for _, weight in STENCIL]
        numeric = np.dot(losses, weights) / STEP
        moved = [name for name, d in direction.items() if d.any()]
        analytic = sum(np.vdot(gradients[name], direction[name]) for name in moved)
        if i == 0:
            assert analytic != 0
            assert abs(numeric - analytic) <= TOLERANCE * abs(analytic)
        # One array's part may be small in a random direction: measured against its norm.
        norm = np.sqrt(sum(np.vdot(gradients[name], gradients[name]) for name in moved))
        assert abs(numeric - analytic) <= TOLERANCE * norm + 1e-10, moved


@pytest.mark.parametrize("depth", HIDDEN)
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
def test_gradients(likelihood, activation, depth):
    kinked = activation in ("relu", "leaky_relu")
    check_directions(kinked, likelihood=likelihood, activation=activation, hidden=HIDDEN[depth])


@pytest.mark.parametrize("output", kernels.ACTIVATIONS)
def test_gradients_of_gaussian_outputs(output):
    kinked = output in ("relu", "leaky_relu")
    check_directions(
        kinked,
        likelihood="gaussian",
        activation="tanh",
        output_activation=output,
        hidden=HIDDEN[1],
        beta=0.3,
        reconstruction_weight=2.5,
    )


@pytest.mark.parametrize("likelihood", kernels.LIKELIHOODS)
def test_layer_by_layer_backward_gives_the_same_gradients(likelihood):
    vae, X, _, _ = make_case(1, likelihood=likelihood, hidden=(5, 4), output_activation="sigmoid")
    vae.beta, vae.reconstruction_weight = 0.7, 1.9
    twin, _, _, _ = make_case(1, likelihood=likelihood, hidden=(5, 4), output_activation="sigmoid")
    noise = twin.sampler.noise(len(X))  # the one that the first pass of `vae` draws
    expected = vae.gradients(X, noise)[1]
    x_hat = vae.decoder.feedforward(vae.sampler.feedforward(vae.encoder.feedforward(X)))
    slope = (x_hat - X) / (x_hat * (1 - x_hat)) if likelihood == "bernoulli" else 2 * (x_hat - X)
    dz = vae.decoder.backward(slope * vae.reconstruction_weight / len(X))
    vae.encoder.backward(vae.sampler.backward(dz, kl_weight=vae.beta / len(X)))
    for name, layer in vae.named_layers().items():
        # Sums of a few dozen terms in another order, and a division by p (1 - p) > 0.01.
        for part, gradient in (("weight", layer.weight_grad), ("bias", layer.bias_grad)):
            wanted = expected[f"{name}.{part}"]
            np.testing.assert_allclose(gradient, wanted, rtol=1e-11, atol=1e-12, err_msg=name)


def test_losses_add_up_and_depend_on_the_noise():
    vae, X, noise, _ = make_case(0, hidden=(5,), beta=0.5, reconstruction_weight=3.0)
    losses, gradients = vae.gradients(X, noise)
    assert losses.loss == pytest.approx(3 * losses.reconstruction + 0.5 * losses.kl, rel=1e-14)
    assert vae.gradients(X, noise)[0] == losses
    assert vae.gradients(X)[0].reconstruction != losses.reconstruction
    assert vae.gradients(X)[0].kl == losses.kl
    assert all(np.isfinite(array).all() for array in gradients.values())


def test_gradients_refuse_noise_of_another_shape():
    vae, X, _, _ = make_case(0, hidden=(5,))
    with pytest.raises(ValueError, match=r"noise must have shape \(3, 2\); got \(2, 3\)"):
        vae.gradients(X, np.zeros((2, 3)))
