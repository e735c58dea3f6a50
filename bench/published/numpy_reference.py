"""The loss, the start and the updates of the NumPy system that the seed cites, written anew.

Letters: B batch rows, Z latents. Rows are samples; weights are (inputs, outputs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.published.settings.numpy_vae import Settings

Array = NDArray[np.float64]
Layers = dict[str, tuple[Array, Array]]
"""Weight (in, out) and bias (out,) of hidden, mean, log_var, decoder and output."""


def start(settings: Settings, seed: int) -> Layers:
    """Return weights from Glorot & Bengio's uniform distribution (2010, eq. 16), and biases of 0.

    Parameters
    ----------
    settings : Settings
    seed : int
    """
    generator = np.random.Generator(np.random.Philox(seed))
    (n_hidden,) = settings.hidden
    sizes = {
        "hidden": (settings.n_features, n_hidden),
        "mean": (n_hidden, settings.n_latent),
        "log_var": (n_hidden, settings.n_latent),
        "decoder": (settings.n_latent, n_hidden),
        "output": (n_hidden, settings.n_features),
    }
    layers = {}
    for name, (n_in, n_out) in sizes.items():
        bound = np.sqrt(6 / (n_in + n_out))
        layers[name] = generator.uniform(-bound, bound, (n_in, n_out)), np.zeros(n_out)
    return layers


class NumpySystem:
    """The system in training.

    Parameters
    ----------
    settings : Settings
    seed : int
        Of the start and of all noise.
    own_noise : bool
        Whether the gradient of log_var takes the noise that the latent was drawn with. The notebook
        draws other noise for it.
    """

    def __init__(self, settings: Settings, seed: int, *, own_noise: bool) -> None:
        self.settings = settings
        self.own_noise = own_noise
        self.layers = start(settings, seed)
        self._squares = {
            name: (np.zeros_like(weight), np.zeros_like(bias))
            for name, (weight, bias) in self.layers.items()
        }
        self._generator = np.random.Generator(np.random.Philox(seed + 1))

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Return mean and log_var, both (B, Z)."""
        hidden = np.maximum(self._dense("hidden", x), 0)
        return self._dense("mean", hidden), self._dense("log_var", hidden)

    def decode(self, z: Array) -> Array:
        """Return what latents (B, Z) are decoded to."""
        return self._dense("output", np.maximum(self._dense("decoder", z), 0))

    def step(self, x: Array) -> None:
        """One update of all layers with a batch, (B, features), pixels in [0, 1]."""
        self._update(self.gradients(x))

    def gradients(self, x: Array) -> Layers:
        """Return what a batch's update goes by, with noise that is drawn now."""
        n_rows = len(x)
        hidden = np.maximum(self._dense("hidden", x), 0)
        mean, log_var = self._dense("mean", hidden), self._dense("log_var", hidden)
        std, noise = np.exp(0.5 * log_var), self._generator.standard_normal(mean.shape)
        z = mean + std * noise
        decoded = np.maximum(self._dense("decoder", z), 0)
        slope = 2 * (self._dense("output", decoded) - x) / n_rows
        gradients, back = {"output": _of_layer(decoded, slope)}, self._back("output", slope)
        back = back * (decoded > 0)
        gradients["decoder"] = _of_layer(z, back)
        to_latent = self._back("decoder", back)
        if not self.own_noise:
            noise = self._generator.standard_normal(mean.shape)
        weight = 1 / (n_rows * self.settings.n_latent)
        to_mean = to_latent + weight * mean
        to_log_var = 0.5 * to_latent * std * noise + 0.5 * weight * (np.exp(log_var) - 1)
        gradients["mean"] = _of_layer(hidden, to_mean)
        gradients["log_var"] = _of_layer(hidden, to_log_var)
        back = self._back("mean", to_mean) + self._back("log_var", to_log_var)
        gradients["hidden"] = _of_layer(x, back * (hidden > 0))
        return gradients

    def _dense(self, name: str, x: Array) -> Array:
        weight, bias = self.layers[name]
        return x @ weight + bias

    def _back(self, name: str, slope: Array) -> Array:
        """The gradient of a layer's input."""
        return slope @ self.layers[name][0].T

    def _update(self, gradients: Layers) -> None:
        """RMSprop, in place."""
        settings = self.settings
        for name, of_layer in gradients.items():
            for parameter, square, gradient in zip(
                self.layers[name], self._squares[name], of_layer, strict=True
            ):
                square *= settings.decay
                square += (1 - settings.decay) * gradient * gradient
                parameter -= settings.learning_rate * gradient / (np.sqrt(square) + settings.eps)


def _of_layer(x: Array, slope: Array) -> tuple[Array, Array]:
    """Gradients of weight and bias."""
    return x.T @ slope, slope.sum(axis=0)


def watched(model: Any, rows: Any, pixels: NDArray[Any], noise: NDArray[Any]) -> list[float]:
    """Return what the notebook prints, of some rows: squared error of a pixel, KL of a latent.

    And a third figure, the mean of sigma. All are means.

    Parameters
    ----------
    model : with `encode` and `decode`: the system here, or a `fastvae.VAE`
    rows : what `encode` takes, (B, features)
    pixels : the same rows in [0, 1]
    noise : (B, Z), of the draw
    """
    mean, log_var = (np.asarray(part, np.float64) for part in model.encode(rows))
    std = np.exp(0.5 * log_var)
    found = model.decode(mean + std * noise)
    error = np.mean(np.square(np.asarray(found, np.float64) - pixels))
    kl = 0.5 * np.mean(np.square(mean) + np.exp(log_var) - 1 - log_var)
    return [float(error), float(kl), float(std.mean())]
