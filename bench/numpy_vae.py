"""The baseline: the same VAE and optimiser in float32 NumPy, written with care.

All products go through BLAS, every result has a preallocated place (one workspace per batch
size), both heads are one product, all parameters lie in one vector, of which Adam's NumPy calls
take a block at a time, and images stay uint8 until their batch is gathered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bench.workload import (
    BETA1,
    BETA2,
    EPS,
    LEARNING_RATE,
    LOG_VAR_MAX,
    LOG_VAR_MIN,
    Array,
    Estimate,
    Layer,
    Sizes,
    importance_estimate,
    join_heads,
    split_heads,
)

Float32 = np.float32
ROWS_AT_ONCE = 1000
"""Rows per pass where nothing is trained."""
LATENTS_AT_ONCE = 250
"""Samples per pass of log p(x): their logits stay in the second-level cache."""
PARAMETERS_AT_ONCE = 2**15
"""Parameters per pass of Adam: with gradient and moments they stay in the second-level cache."""


class Workspace:
    """The places of everything that a step with a given number of rows computes."""

    def __init__(self, sizes: Sizes, n_rows: int) -> None:
        def rows(width: int, dtype: Any = np.float32) -> Array:
            return np.empty((n_rows, width), dtype)

        self.bytes = rows(sizes.n_features, np.uint8)
        self.x = rows(sizes.n_features)
        self.outputs = [rows(n_out) for _, n_out in sizes.dense_shapes]
        self.gradients = [rows(n_out) for _, n_out in sizes.dense_shapes]
        self.masks = [rows(n_out, np.bool_) for _, n_out in sizes.dense_shapes]
        self.noise, self.z, self.dz = (rows(sizes.n_latent) for _ in range(3))
        self.log_var, self.std, self.variance = (rows(sizes.n_latent) for _ in range(3))
        self.terms = rows(sizes.n_features)
        self.ones = np.ones(n_rows, np.float32)


class NumpyVAE:
    """The seed's model, trained with Adam; see `bench.contestants.Contestant`."""

    training_variants: ClassVar[list[dict[str, Any]]] = [{}]
    pass_variants: ClassVar[list[dict[str, Any]]] = [{}]
    likelihood_variants: ClassVar[list[dict[str, Any]]] = [{}]

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._parameters, self._layers = _arena(sizes)
        self._gradient, self._layer_gradients = _arena(sizes)
        self._moment1, self._moment2 = (np.zeros_like(self._parameters) for _ in range(2))
        self._blocks = self._in_blocks()
        self._workspaces: dict[int, Workspace] = {}
        self._generator = np.random.Generator(np.random.Philox(0))
        self._n_updates = 0

    def set_parameters(self, named: dict[str, Array]) -> None:
        for mine, given in zip(self._layers, join_heads(named, self.sizes), strict=True):
            mine[0][...], mine[1][...] = given

    def get_parameters(self) -> dict[str, Array]:
        return split_heads(self._layers, self.sizes)

    def save(self, path: Path) -> None:
        save_file(self.get_parameters(), path)

    def prepare(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return rows

    def fit(self, data: NDArray[np.uint8], epochs: int, batch_size: int) -> list[float]:
        self._moment1.fill(0)
        self._moment2.fill(0)
        self._n_updates = 0
        losses = []
        for _ in range(epochs):
            order = self._generator.permutation(len(data))
            losses.append(self.train_steps(data, order, batch_size) / len(data))
        return losses

    def train_steps(
        self, data: NDArray[np.uint8], order: NDArray[np.int64], batch_size: int
    ) -> float:
        """Do one update with each batch of the rows in this order; return the sum of all losses."""
        total = 0.0
        for first in range(0, len(order), batch_size):
            space = self._gather(data, order[first : first + batch_size])
            self._generator.standard_normal(out=space.noise, dtype=np.float32)
            reconstruction, kl = self._forward_backward(space)
            self._adam()
            total += reconstruction + kl
        return total

    def gradients(
        self, rows: NDArray[np.uint8], noise: Array
    ) -> tuple[float, float, dict[str, Array]]:
        space = self._gather(rows, np.arange(len(rows)))
        space.noise[...] = noise
        reconstruction, kl = self._forward_backward(space)
        gradients = split_heads(self._layer_gradients, self.sizes)
        return reconstruction / len(rows), kl / len(rows), gradients

    def step(self, rows: NDArray[np.uint8], noise: Array) -> None:
        self.gradients(rows, noise)
        self._adam()

    def encode(self, data: NDArray[np.uint8]) -> tuple[Array, Array]:
        n_latent = self.sizes.n_latent
        mean, log_var = (np.empty((len(data), n_latent), np.float32) for _ in range(2))
        for first in range(0, len(data), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            heads = self._encode(self._convert(data[rows]))
            mean[rows], log_var[rows] = heads[:, :n_latent], heads[:, n_latent:]
        return mean, log_var

    def decode(self, latents: Array) -> Array:
        means = np.empty((len(latents), self.sizes.n_features), np.float32)
        for first in range(0, len(latents), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            z = latents[rows]
            space = self._workspace(len(z))
            logits = self._decode(space, z)
            _sigmoid(means[rows], logits)
        return means

    def sample(self, n: int) -> Array:
        return self.decode(self._generator.standard_normal((n, self.sizes.n_latent), np.float32))

    def evaluate(self, data: NDArray[np.uint8]) -> tuple[float, float]:
        reconstruction = kl = 0.0
        for first in range(0, len(data), ROWS_AT_ONCE):
            space = self._convert(data[first : first + ROWS_AT_ONCE])
            self._generator.standard_normal(out=space.noise, dtype=np.float32)
            sums = self._forward(space)
            reconstruction += sums[0]
            kl += sums[1]
        return reconstruction / len(data), kl / len(data)

    def log_likelihood(self, data: NDArray[np.uint8], n_samples: int) -> Estimate:
        x = data * Float32(1 / 255)
        means, log_vars = self.encode(data)
        weights = np.empty((len(data), n_samples), np.float32)
        for row, mean, log_var, out in zip(x, means, log_vars, weights, strict=True):
            self._log_weights(row, mean, log_var, out)
        largest = weights.max(axis=1)
        weights -= largest[:, None]
        np.exp(weights, out=weights)
        total = weights.sum(axis=1, dtype=np.float64)
        np.square(weights, out=weights)
        return importance_estimate(largest, total, weights.sum(axis=1, dtype=np.float64), n_samples)

    def _log_weights(self, x: Array, mean: Array, log_var: Array, out: Array) -> None:
        """Write log p(x | z) + log p(z) - log q(z | x) of draws z for one row.

        x . logits = h . (W^T x) + b . x with the last hidden layer h: the logits are read once.
        """
        weight, bias = self._layers[-1]
        slope = weight.T @ x
        constant = bias @ x + Float32(0.5) * log_var.sum()
        std = np.exp(Float32(0.5) * log_var)
        for first in range(0, len(out), LATENTS_AT_ONCE):
            part = out[first : first + LATENTS_AT_ONCE]
            space = self._workspace(len(part))
            self._generator.standard_normal(out=space.noise, dtype=np.float32)
            np.multiply(space.noise, std, out=space.z)
            space.z += mean
            logits = self._decode(space, space.z)
            np.matmul(space.outputs[-2], slope, out=part)
            part += constant
            part -= _softplus_sums(logits, space.terms)
            np.square(space.noise, out=space.noise)
            np.square(space.z, out=space.z)
            space.noise -= space.z
            part += Float32(0.5) * space.noise.sum(axis=1)

    def _workspace(self, n_rows: int) -> Workspace:
        if n_rows not in self._workspaces:
            self._workspaces[n_rows] = Workspace(self.sizes, n_rows)
        return self._workspaces[n_rows]

    def _gather(self, data: NDArray[np.uint8], index: NDArray[np.int64]) -> Workspace:
        space = self._workspace(len(index))
        # mode="clip" writes to `out` directly; the default, "raise", goes through a buffer.
        np.take(data, index, axis=0, out=space.bytes, mode="clip")
        np.multiply(space.bytes, Float32(1 / 255), out=space.x)
        return space

    def _convert(self, rows: NDArray[np.uint8]) -> Workspace:
        space = self._workspace(len(rows))
        np.multiply(rows, Float32(1 / 255), out=space.x)
        return space

    def _encode(self, space: Workspace) -> Array:
        """Heads (mean, log_var) of `space.x`."""
        x = space.x
        for i in range(self.sizes.n_encoder):
            x = _dense(space.outputs[i], x, self._layers[i])
            np.maximum(x, 0, out=x)
        head = self.sizes.n_encoder
        return _dense(space.outputs[head], x, self._layers[head])

    def _decode(self, space: Workspace, z: Array) -> Array:
        """Logits of latents."""
        x = z
        for i in range(self.sizes.n_encoder + 1, len(self._layers) - 1):
            x = _dense(space.outputs[i], x, self._layers[i])
            np.maximum(x, 0, out=x)
        return _dense(space.outputs[-1], x, self._layers[-1])

    def _forward(self, space: Workspace) -> tuple[float, float]:
        """Sums over rows of reconstruction and KL; logits become their gradients."""
        n_latent = self.sizes.n_latent
        heads = self._encode(space)
        mean = heads[:, :n_latent]
        np.clip(heads[:, n_latent:], LOG_VAR_MIN, LOG_VAR_MAX, out=space.log_var)
        np.multiply(space.log_var, Float32(0.5), out=space.std)
        np.exp(space.std, out=space.std)
        np.multiply(space.std, space.noise, out=space.z)
        space.z += mean
        np.square(space.std, out=space.variance)
        kl = 0.5 * float(
            space.variance.sum()
            + np.square(mean).sum()
            - space.log_var.sum()
            - Float32(space.log_var.size)
        )
        logits = self._decode(space, space.z)
        return _bernoulli(space.gradients[-1], logits, space.x, space.terms), kl

    def _forward_backward(self, space: Workspace) -> tuple[float, float]:
        """Sums over rows of reconstruction and KL; gradients of their mean in the arena."""
        reconstruction, kl = self._forward(space)
        head, n_latent = self.sizes.n_encoder, self.sizes.n_latent
        scale = Float32(1 / len(space.x))
        space.gradients[-1] *= scale
        for i in range(len(self._layers) - 1, head + 1, -1):
            self._backward(space, i, space.outputs[i - 1])
            self._through_relu(space, i)
        self._backward(space, head + 1, space.z)
        np.matmul(space.gradients[head + 1], self._layers[head + 1][0], out=space.dz)
        self._heads_gradient(space, scale, n_latent)
        for i in range(head, 0, -1):
            self._backward(space, i, space.outputs[i - 1])
            self._through_relu(space, i)
        self._backward(space, 0, space.x)
        return reconstruction, kl

    def _backward(self, space: Workspace, layer: int, x: Array) -> None:
        """Gradients of a layer's weight and bias, from the gradient to its pre-activation."""
        dy = space.gradients[layer]
        weight_gradient, bias_gradient = self._layer_gradients[layer]
        np.matmul(dy.T, x, out=weight_gradient)
        np.matmul(space.ones, dy, out=bias_gradient)  # the sum over rows, by BLAS

    def _through_relu(self, space: Workspace, layer: int) -> None:
        """The gradient to the pre-activation of the layer before `layer`."""
        dx, mask = space.gradients[layer - 1], space.masks[layer - 1]
        np.matmul(space.gradients[layer], self._layers[layer][0], out=dx)
        np.greater(space.outputs[layer - 1], 0, out=mask)
        np.multiply(dx, mask, out=dx)

    def _heads_gradient(self, space: Workspace, scale: np.float32, n_latent: int) -> None:
        """The gradient to mean and log_var, through the draw and from the KL divergence."""
        heads = space.outputs[self.sizes.n_encoder]
        gradient = space.gradients[self.sizes.n_encoder]
        dmean, dlog_var = gradient[:, :n_latent], gradient[:, n_latent:]
        np.multiply(heads[:, :n_latent], scale, out=dmean)
        dmean += space.dz
        np.multiply(space.std, space.noise, out=dlog_var)
        dlog_var *= space.dz
        space.variance -= Float32(1)
        space.variance *= scale
        dlog_var += space.variance
        dlog_var *= Float32(0.5)
        np.multiply(dlog_var, space.log_var == heads[:, n_latent:], out=dlog_var)

    def _in_blocks(self) -> list[tuple[Array, ...]]:
        """Parameters, gradient, both moments and a scratch place, a block at a time."""
        vectors = self._parameters, self._gradient, self._moment1, self._moment2
        scratch = np.empty(min(PARAMETERS_AT_ONCE, len(self._parameters)), np.float32)
        blocks = []
        for first in range(0, len(self._parameters), PARAMETERS_AT_ONCE):
            parts = [vector[first : first + PARAMETERS_AT_ONCE] for vector in vectors]
            blocks.append((*parts, scratch[: len(parts[0])]))
        return blocks

    def _adam(self) -> None:
        """Kingma & Ba, algorithm 1, in the efficient order of the end of its section 2."""
        self._n_updates += 1
        correction = np.sqrt(1 - BETA2**self._n_updates)
        rate = Float32(LEARNING_RATE * correction / (1 - BETA1**self._n_updates))
        eps = Float32(EPS * correction)
        for parameters, gradient, moment1, moment2, scratch in self._blocks:
            np.multiply(gradient, Float32(1 - BETA1), out=scratch)
            moment1 *= Float32(BETA1)
            moment1 += scratch
            np.square(gradient, out=scratch)
            scratch *= Float32(1 - BETA2)
            moment2 *= Float32(BETA2)
            moment2 += scratch
            np.sqrt(moment2, out=scratch)
            scratch += eps
            np.divide(moment1, scratch, out=scratch)
            scratch *= rate
            parameters -= scratch


def _arena(sizes: Sizes) -> tuple[Array, list[Layer]]:
    """One vector for all weights and biases, and each layer's views of it."""
    vector = np.zeros(sum((n_in + 1) * n_out for n_in, n_out in sizes.dense_shapes), np.float32)
    layers, first = [], 0
    for n_in, n_out in sizes.dense_shapes:
        middle, last = first + n_in * n_out, first + (n_in + 1) * n_out
        layers.append((vector[first:middle].reshape(n_out, n_in), vector[middle:last]))
        first = last
    return vector, layers


def _dense(out: Array, x: Array, layer: Layer) -> Array:
    np.matmul(x, layer[0].T, out=out)
    out += layer[1]
    return out


def _sigmoid(out: Array, logits: Array) -> None:
    """sigmoid(l) = (1 + tanh(l / 2)) / 2, which never overflows."""
    np.multiply(logits, Float32(0.5), out=out)
    np.tanh(out, out=out)
    out += Float32(1)
    out *= Float32(0.5)


def _softplus_sums(logits: Array, terms: Array) -> Array:
    """Sums over each row of log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|)); logits are lost.

    The logarithm is taken of products of up to 16 factors 1 + exp(-|l|), each in (1, 2].
    """
    np.abs(logits, out=terms)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    terms += Float32(1)
    for _ in range(4):
        half, odd = divmod(terms.shape[1], 2)
        if odd:
            break
        terms[:, :half] *= terms[:, half:]
        terms = terms[:, :half]
    np.maximum(logits, 0, out=logits)
    np.log(terms, out=terms)
    sums: Array = logits.sum(axis=1) + terms.sum(axis=1)
    return sums


def _bernoulli(gradient: Array, logits: Array, x: Array, terms: Array) -> float:
    """Sum of the Bernoulli loss from logits; `gradient = sigmoid(logits) - x`.

    max(l, 0) - l x + log(1 + exp(-|l|)). NumPy vectorises exp and log, not log1p: 1 + exp(-|l|)
    lies in (1, 2], where log loses no absolute accuracy. Its reciprocal is sigmoid(|l|).
    """
    np.abs(logits, out=terms)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    np.add(terms, Float32(1), out=gradient)
    np.log(gradient, out=terms)
    loss = float(terms.sum())
    np.maximum(logits, 0, out=terms)
    loss += float(terms.sum()) - float(np.vdot(logits, x))
    np.reciprocal(gradient, out=gradient)
    gradient -= Float32(0.5)
    np.copysign(gradient, logits, out=gradient)
    gradient += Float32(0.5)
    gradient -= x
    return loss
