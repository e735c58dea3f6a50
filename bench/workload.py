"""What every contestant is given: sizes, first weights and rows, and how much work that is.

Imports NumPy only, so that a contestant's process loads nothing of another contestant.

Parameters go by the names of the model files (`encoder.0.weight`, `sampler.mean.bias`, ...,
weights (out, in)). Contestants compute both heads of the sampler as one dense layer of 2 Z
outputs, mean first; `join_heads` and `split_heads` convert.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layer = tuple[Array, Array]
"""Weight (out, in) and bias (out,)."""

LEARNING_RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
LOG_VAR_MIN, LOG_VAR_MAX = -30.0, 20.0


@dataclass(frozen=True)
class Sizes:
    """Sizes of a VAE whose decoder mirrors its encoder; ReLU inside, Bernoulli outside."""

    n_features: int = 784
    hidden: tuple[int, ...] = (256,)
    n_latent: int = 32

    @property
    def dense_shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of encoder, joined heads and decoder."""
        widths = [self.n_features, *self.hidden, 2 * self.n_latent]
        mirrored = [self.n_latent, *reversed(self.hidden), self.n_features]
        return [*pairwise(widths), *pairwise(mirrored)]

    @property
    def n_encoder(self) -> int:
        """Number of dense layers before the heads."""
        return len(self.hidden)

    @property
    def title(self) -> str:
        """The sizes as in 784-256-32-256-784."""
        widths = [self.n_features, *self.hidden, self.n_latent]
        return "-".join(str(width) for width in [*widths, *reversed(widths[:-1])])

    def _products(self) -> list[int]:
        return [n_in * n_out for n_in, n_out in self.dense_shapes]

    @property
    def training_flops(self) -> int:
        """Floating-point operations of the matrix products of one training step, per row.

        Forward and weight gradient of every layer, input gradient of all but the first; a
        multiply-add counts as two. Multiplications by zero pixels count too: this is the dense
        limit.
        """
        products = self._products()
        return 2 * (3 * sum(products) - products[0])

    def iwae_flops(self, n_samples: int) -> int:
        """The same with `n_samples` latents per row: the encoder once, the decoder for each."""
        products = self._products()
        encoder, decoder = products[: self.n_encoder + 1], products[self.n_encoder + 1 :]
        return 2 * (3 * sum(encoder) - products[0] + 3 * n_samples * sum(decoder))

    @property
    def encoding_flops(self) -> int:
        """Floating-point operations of encoding one row."""
        return 2 * sum(self._products()[: self.n_encoder + 1])

    @property
    def decoding_flops(self) -> int:
        """Floating-point operations of decoding one latent."""
        return 2 * sum(self._products()[self.n_encoder + 1 :])


def initial_parameters(sizes: Sizes, rows: Array, seed: int = 0) -> dict[str, Array]:
    """Return named parameters as a new fastvae model has them when its training begins.

    Weights from N(0, 1 / fan_in), biases 0, the output bias at the logit of the rows' mean
    clipped to [0.001, 0.999].

    Parameters
    ----------
    sizes : Sizes
    rows : (N, n_features) uint8
    seed : int
    """
    generator = np.random.Generator(np.random.Philox(seed))
    layers = [
        (
            generator.standard_normal((n_out, n_in), np.float32) / np.float32(np.sqrt(n_in)),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in sizes.dense_shapes
    ]
    mean = np.clip(rows.mean(axis=0, dtype=np.float64) / 255, 0.001, 0.999)
    layers[-1] = layers[-1][0], np.log(mean / (1 - mean)).astype(np.float32)
    return split_heads(layers, sizes)


def split_heads(layers: list[Layer], sizes: Sizes) -> dict[str, Array]:
    """Return named parameters from dense layers with joined heads."""
    n_encoder, n_latent = sizes.n_encoder, sizes.n_latent
    weight, bias = layers[n_encoder]
    named = {f"encoder.{i}": layer for i, layer in enumerate(layers[:n_encoder])}
    named["sampler.mean"] = weight[:n_latent], bias[:n_latent]
    named["sampler.log_var"] = weight[n_latent:], bias[n_latent:]
    named |= {f"decoder.{i}": layer for i, layer in enumerate(layers[n_encoder + 1 :])}
    parameters = {}
    for name, (weight, bias) in named.items():
        parameters[f"{name}.weight"] = np.array(weight, np.float32)
        parameters[f"{name}.bias"] = np.array(bias, np.float32)
    return parameters


def join_heads(named: dict[str, Array], sizes: Sizes) -> list[Layer]:
    """Return dense layers with joined heads from named parameters; the inverse of `split_heads`."""
    layers = [_layer(named, f"encoder.{i}") for i in range(sizes.n_encoder)]
    mean, log_var = _layer(named, "sampler.mean"), _layer(named, "sampler.log_var")
    layers.append((np.concatenate((mean[0], log_var[0])), np.concatenate((mean[1], log_var[1]))))
    n_decoder = len(sizes.dense_shapes) - sizes.n_encoder - 1
    return layers + [_layer(named, f"decoder.{i}") for i in range(n_decoder)]


def _layer(named: dict[str, Array], name: str) -> Layer:
    return named[f"{name}.weight"], named[f"{name}.bias"]


def dense_rows(n_rows: int, n_features: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random uint8 rows without a zero: nothing in them can be skipped."""
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.integers(1, 256, (n_rows, n_features), np.uint8)


def mnist_like_rows(n_rows: int, n_features: int = 784, seed: int = 0) -> NDArray[np.uint8]:
    """Return random uint8 rows of which 81 % are zero, as in MNIST, in no pattern."""
    generator = np.random.Generator(np.random.Philox(seed))
    rows = generator.integers(1, 256, (n_rows, n_features), np.uint8)
    rows[generator.random((n_rows, n_features), np.float32) < np.float32(0.81)] = 0
    return rows


def binarised(rows: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """Return rows of 0 and 255 only: each pixel drawn once with its grey value's probability."""
    generator = np.random.Generator(np.random.Philox(seed))
    ones = generator.random(rows.shape, np.float32) < rows / np.float32(255)
    return np.where(ones, np.uint8(255), np.uint8(0))


class Estimate(NamedTuple):
    """log p(x) of each row in nats, its standard error and the effective sample size: (n,)."""

    value: Array
    standard_error: Array
    ess: Array

    def means(self) -> dict[str, float]:
        """Return the means over the rows; the error is that of this mean, the rows given."""
        error = np.sqrt(np.square(self.standard_error).sum()) / len(self.value)
        return {
            "value": float(self.value.mean()),
            "standard_error": float(error),
            "ess": float(self.ess.mean()),
        }


def importance_estimate(largest: Array, total: Array, squares: Array, n_samples: int) -> Estimate:
    """Return the estimates of log p(x) from the sums of each row's weights w.

    log p(x) is estimated by log(sum of w / k), w = p(x | z) p(z) / q(z | x) of k latents z drawn
    from q(z | x) (Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", eq. 8);
    its standard error is that of the delta method.

    Parameters
    ----------
    largest : (n,), the largest log w of each row
    total, squares : (n,), sums over the samples of w and of its square, w over exp(largest)
    n_samples : k
    """
    largest, total, squares = (np.asarray(sums, np.float64) for sums in (largest, total, squares))
    ess = total * total / squares
    error = np.sqrt(np.maximum(n_samples / ess - 1, 0) / (n_samples - 1))
    return Estimate(largest + np.log(total / n_samples), error, ess)


def training_rows(data_dir: Path | None) -> tuple[str, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the name, training rows and test rows of MNIST, else of synthetic digits.

    Parameters
    ----------
    data_dir : Path or None
        Must hold MNIST where it is given; see `fastvae.Dataset`. Nothing is downloaded.
    """
    from fastvae.data import Dataset, locate

    name = "mnist" if locate("mnist", data_dir) is not None else "synthetic_digits"
    dataset = Dataset(name, data_dir=data_dir, download=False)
    return name, dataset.train, dataset.test
