"""The same VAE in JAX at its best: an epoch is one jitted `lax.scan` with donated buffers.

The rows are on the device, the noise of an epoch is drawn in one go ahead of the scan, weights
are kept (in, out), which XLA multiplies fastest on CPUs, and Adam's bias corrections are folded
into two scalars per step. Dispatch and order aside, no Python runs within an epoch.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bench.jax_network import (
    JaxArray,
    Layers,
    State,
    adam,
    as_pixels,
    bernoulli_sum,
    closed_bernoulli_sum,
    dense,
    fresh,
    last_hidden,
    output_logits,
    posterior,
    scan_epoch,
    softplus_sums,
    to_named,
)
from bench.workload import Array, Estimate, Sizes, importance_estimate, join_heads


class JaxVAE:
    """JAX; see `bench.contestants.Contestant`.

    Parameters
    ----------
    sizes : Sizes
    storage : "float32" or "uint8", the type that the rows have on the device
    unroll : steps per iteration of the compiled loop
    closed : whether the loss has the closed form of its gradient with respect to the logits, or is
        differentiated as it is written
    chunk : rows per pass of `encode` and `decode`, which must divide the rows; 0: all at once
    block : samples per iteration of the compiled loop of `log_likelihood`
    factors : of how many 1 + exp(-|logit|) one logarithm is taken there, where they divide
    rng : "threefry2x32" or "rbg", how keys give random numbers
    """

    training_variants: ClassVar[list[dict[str, Any]]] = [
        {"storage": "float32", "unroll": 1},
        {"storage": "uint8", "unroll": 1},
        {"storage": "float32", "unroll": 4},
        {"storage": "uint8", "unroll": 4},
        {"storage": "float32", "unroll": 1, "closed": True},
        {"storage": "uint8", "unroll": 1, "closed": True},
        {"storage": "float32", "unroll": 4, "closed": True},
    ]
    pass_variants: ClassVar[list[dict[str, Any]]] = [
        {"storage": "float32", "chunk": 0},
        {"storage": "float32", "chunk": 1000},
        {"storage": "uint8", "chunk": 1000},
    ]
    likelihood_variants: ClassVar[list[dict[str, Any]]] = [
        {"block": 500, "factors": 1, "rng": "rbg"},
        {"block": 250, "factors": 1, "rng": "rbg"},
        {"block": 1000, "factors": 1, "rng": "rbg"},
        {"block": 2500, "factors": 1, "rng": "rbg"},
        {"block": 500, "factors": 1, "rng": "threefry2x32"},
        {"block": 500, "factors": 8, "rng": "rbg"},
    ]

    def __init__(
        self,
        sizes: Sizes,
        *,
        storage: str = "float32",
        unroll: int = 1,
        closed: bool = False,
        chunk: int = 0,
        block: int = 500,
        factors: int = 1,
        rng: str = "threefry2x32",
    ) -> None:
        self.sizes = sizes
        self._float = storage == "float32"
        self._unroll = unroll
        self._closed = closed
        self._chunk = chunk
        self._block = block
        self._factors = factors
        self._layers = [
            (jnp.zeros((n_in, n_out)), jnp.zeros(n_out)) for n_in, n_out in sizes.dense_shapes
        ]
        self._key = jax.random.key(0, impl=rng)
        self._generator = np.random.Generator(np.random.Philox(0))

    def set_parameters(self, named: dict[str, Array]) -> None:
        self._layers = [
            (jnp.asarray(np.ascontiguousarray(weight.T)), jnp.array(bias))
            for weight, bias in join_heads(named, self.sizes)
        ]

    def get_parameters(self) -> dict[str, Array]:
        return to_named(self._layers, self.sizes)

    def save(self, path: Path) -> None:
        save_file(self.get_parameters(), path)

    def prepare(self, rows: NDArray[np.uint8]) -> JaxArray:
        pixels = rows.astype(np.float32) * np.float32(1 / 255) if self._float else rows
        return jax.device_put(pixels).block_until_ready()

    def fit(self, data: JaxArray, epochs: int, batch_size: int) -> list[float]:
        state = fresh(self._layers)
        totals = []
        for _ in range(epochs):
            order = self._generator.permutation(len(data)).astype(np.int32)
            state, total = _epoch(
                state,
                data,
                order,
                self._next_key(),
                n_encoder=self.sizes.n_encoder,
                batch_size=batch_size,
                unroll=self._unroll,
                closed=self._closed,
            )
            totals.append(total)
        self._layers = state[0]
        return [float(total) / len(data) for total in totals]

    def gradients(
        self, rows: NDArray[np.uint8], noise: Array
    ) -> tuple[float, float, dict[str, Array]]:
        (_, parts), gradients = _loss_and_gradients(
            self._layers, self.prepare(rows), noise, self.sizes.n_encoder, self._closed
        )
        reconstruction, kl = (float(part) / len(rows) for part in parts)
        return reconstruction, kl, to_named(gradients, self.sizes)

    def step(self, rows: NDArray[np.uint8], noise: Array) -> None:
        state = fresh(self._layers)
        data, n_encoder = self.prepare(rows), self.sizes.n_encoder
        (self._layers, *_), _ = _step(state, data, noise, n_encoder, self._closed)

    def encode(self, data: JaxArray) -> tuple[JaxArray, JaxArray]:
        heads = _encode(self._layers, data, self.sizes.n_encoder, self._chunk)
        return jax.block_until_ready(heads)

    def decode(self, latents: Array) -> JaxArray:
        means = _decode(self._layers, latents, self.sizes.n_encoder, self._chunk)
        return means.block_until_ready()

    def sample(self, n: int) -> JaxArray:
        means = _sample(
            self._layers, self._next_key(), n, self.sizes.n_latent, self.sizes.n_encoder
        )
        return means.block_until_ready()

    def evaluate(self, data: JaxArray) -> tuple[float, float]:
        sums = _evaluate(
            self._layers, data, self._next_key(), self.sizes.n_latent, self.sizes.n_encoder
        )
        reconstruction, kl = (float(part) / len(data) for part in sums)
        return reconstruction, kl

    def log_likelihood(self, data: JaxArray, n_samples: int) -> Estimate:
        sums = _log_likelihood(
            self._layers,
            data,
            self._next_key(),
            n_encoder=self.sizes.n_encoder,
            n_samples=n_samples,
            block=self._block,
            factors=self._factors,
        )
        largest, total, squares = (np.asarray(part) for part in sums)
        return importance_estimate(largest, total, squares, n_samples)

    def _next_key(self) -> JaxArray:
        self._key, key = jax.random.split(self._key)
        return key


def _losses(
    layers: Layers, rows: JaxArray, noise: JaxArray, n_encoder: int, closed: bool
) -> tuple[JaxArray, JaxArray]:
    """Sums of reconstruction and KL over rows."""
    x = as_pixels(rows)
    mean, log_var = posterior(layers, x, n_encoder)
    logits = output_logits(layers, mean + jnp.exp(0.5 * log_var) * noise, n_encoder)
    reconstruction = (closed_bernoulli_sum if closed else bernoulli_sum)(logits, x)
    kl = 0.5 * jnp.sum(jnp.exp(log_var) + jnp.square(mean) - 1 - log_var)
    return reconstruction, kl


@partial(jax.jit, static_argnums=(3, 4))
@partial(jax.value_and_grad, has_aux=True)
def _loss_and_gradients(
    layers: Layers, rows: JaxArray, noise: JaxArray, n_encoder: int, closed: bool
) -> Any:
    reconstruction, kl = _losses(layers, rows, noise, n_encoder, closed)
    return (reconstruction + kl) / len(rows), (reconstruction, kl)


def _step(
    state: State, rows: JaxArray, noise: JaxArray, n_encoder: int, closed: bool
) -> tuple[State, JaxArray]:
    """One update; the loss summed over the batch."""
    (_, parts), gradients = _loss_and_gradients(state[0], rows, noise, n_encoder, closed)
    return adam(state, gradients), parts[0] + parts[1]


@partial(jax.jit, static_argnames=("n_encoder", "batch_size", "unroll", "closed"), donate_argnums=0)
def _epoch(
    state: State,
    data: JaxArray,
    order: JaxArray,
    key: JaxArray,
    *,
    n_encoder: int,
    batch_size: int,
    unroll: int,
    closed: bool,
) -> tuple[State, JaxArray]:
    """One pass over the data in the given order; the loss summed over all rows."""
    noise = jax.random.normal(key, (len(order), state[0][n_encoder][1].size // 2))
    step = partial(_step, n_encoder=n_encoder, closed=closed)
    return scan_epoch(step, state, data, order, noise, batch_size, unroll)


def _in_chunks(function: Any, rows: JaxArray, chunk: int) -> Any:
    if not chunk or len(rows) % chunk:
        return function(rows)
    parts = jax.lax.map(function, rows.reshape(-1, chunk, rows.shape[1]))
    return jax.tree.map(lambda part: part.reshape(len(rows), -1), parts)


@partial(jax.jit, static_argnums=(2, 3))
def _encode(layers: Layers, rows: JaxArray, n_encoder: int, chunk: int) -> Any:
    return _in_chunks(lambda part: posterior(layers, as_pixels(part), n_encoder), rows, chunk)


@partial(jax.jit, static_argnums=(2, 3))
def _decode(layers: Layers, latents: JaxArray, n_encoder: int, chunk: int) -> JaxArray:
    def means(part: JaxArray) -> JaxArray:
        return jax.nn.sigmoid(output_logits(layers, part, n_encoder))

    return _in_chunks(means, latents, chunk)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _sample(layers: Layers, key: JaxArray, n: int, n_latent: int, n_encoder: int) -> JaxArray:
    return jax.nn.sigmoid(output_logits(layers, jax.random.normal(key, (n, n_latent)), n_encoder))


@partial(jax.jit, static_argnums=(3, 4))
def _evaluate(
    layers: Layers, rows: JaxArray, key: JaxArray, n_latent: int, n_encoder: int
) -> tuple[JaxArray, JaxArray]:
    noise = jax.random.normal(key, (len(rows), n_latent))
    return _losses(layers, rows, noise, n_encoder, closed=False)


@partial(jax.jit, static_argnames=("n_encoder", "n_samples", "block", "factors"))
def _log_likelihood(
    layers: Layers,
    rows: JaxArray,
    key: JaxArray,
    *,
    n_encoder: int,
    n_samples: int,
    block: int,
    factors: int,
) -> tuple[JaxArray, ...]:
    """Each row's largest log weight, and the sums of weights and of their squares over it.

    A loop over rows, and in it one over blocks of samples, whose log-sum-exp is a running one.
    """
    n_steps, n_left = divmod(n_samples, block)
    keys = jax.random.split(key, len(rows))
    x = as_pixels(rows)

    def row(of_row: tuple[JaxArray, ...]) -> tuple[JaxArray, ...]:
        x, mean, log_var, key = of_row
        weight, bias = layers[-1]
        slope, constant = weight @ x, bias @ x + 0.5 * jnp.sum(log_var)
        std = jnp.exp(0.5 * log_var)
        given = slope, constant, mean, std
        weights = partial(_log_weights, layers, given, n_encoder, factors)
        sums = tuple(map(jnp.float32, (-jnp.inf, 0, 0)))
        sums, _ = jax.lax.scan(
            lambda sums, key: (_with(sums, weights(key, block)), None),
            sums,
            jax.random.split(key, n_steps),
        )
        return _with(sums, weights(jax.random.fold_in(key, n_steps), n_left)) if n_left else sums

    return jax.lax.map(row, (x, *posterior(layers, x, n_encoder), keys))


def _log_weights(
    layers: Layers,
    given: tuple[JaxArray, ...],
    n_encoder: int,
    factors: int,
    key: JaxArray,
    n: int,
) -> JaxArray:
    """log p(x | z) + log p(z) - log q(z | x) of n draws z for one row.

    x . logits = h . (W^T x) + b . x with the last hidden layer h: the logits are read once.
    """
    slope, constant, mean, std = given
    noise = jax.random.normal(key, (n, len(mean)))
    z = mean + std * noise
    hidden = last_hidden(layers, z, n_encoder)
    softplus = softplus_sums(dense(hidden, layers[-1]), factors)
    densities = 0.5 * (jnp.sum(jnp.square(noise), 1) - jnp.sum(jnp.square(z), 1))
    return hidden @ slope - softplus + densities + constant


def _with(sums: tuple[JaxArray, ...], log_weights: JaxArray) -> tuple[JaxArray, ...]:
    """The running sums with a block's weights."""
    before, total, squares = sums
    largest = jnp.maximum(before, jnp.max(log_weights))
    weights, scale = jnp.exp(log_weights - largest), jnp.exp(before - largest)
    return (
        largest,
        total * scale + jnp.sum(weights),
        squares * jnp.square(scale) + jnp.sum(jnp.square(weights)),
    )
