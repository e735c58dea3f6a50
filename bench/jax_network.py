"""What the VAE in JAX is made of: layers, the posterior's heads, losses, Adam.

Weights are kept (in, out), which XLA multiplies fastest on CPUs; the functions are traced into the
jitted ones of `bench.jax_vae` and `bench.jax_iwae`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE, Array, Sizes, split_heads

JaxArray = Any
Layers = list[tuple[JaxArray, JaxArray]]
"""Weight (in, out) and bias (out,) of encoder, joined heads and decoder."""
State = tuple[Layers, Layers, Layers, JaxArray]
"""Parameters, first and second moments, number of the next update."""
Step = Callable[[State, JaxArray, JaxArray], tuple[State, JaxArray]]


def fresh(layers: Layers) -> State:
    """The state of a new training; its buffers are its own, so that they may be donated."""
    zeros = partial(jax.tree.map, jnp.zeros_like)
    return jax.tree.map(jnp.array, layers), zeros(layers), zeros(layers), jnp.ones(())


def to_named(layers: Layers, sizes: Sizes) -> dict[str, Array]:
    return split_heads([(np.asarray(w).T, np.asarray(b)) for w, b in layers], sizes)


def as_pixels(rows: JaxArray) -> JaxArray:
    return rows if rows.dtype == jnp.float32 else rows.astype(jnp.float32) * (1 / 255)


def dense(x: JaxArray, layer: tuple[JaxArray, JaxArray]) -> JaxArray:
    return x @ layer[0] + layer[1]


def posterior(layers: Layers, x: JaxArray, n_encoder: int) -> tuple[JaxArray, JaxArray]:
    for layer in layers[:n_encoder]:
        x = jax.nn.relu(dense(x, layer))
    mean, log_var = jnp.split(dense(x, layers[n_encoder]), 2, axis=1)
    return mean, log_var


def last_hidden(layers: Layers, z: JaxArray, n_encoder: int) -> JaxArray:
    for layer in layers[n_encoder + 1 : -1]:
        z = jax.nn.relu(dense(z, layer))
    return z


def output_logits(layers: Layers, z: JaxArray, n_encoder: int) -> JaxArray:
    return dense(last_hidden(layers, z, n_encoder), layers[-1])


def adam(state: State, gradients: Layers) -> State:
    """One update (Kingma & Ba, algorithm 1), both bias corrections folded into two scalars."""
    layers, moments1, moments2, update = state
    correction = jnp.sqrt(1 - BETA2**update)
    rate = LEARNING_RATE * correction / (1 - BETA1**update)
    eps = EPS * correction

    def first(moment: JaxArray, gradient: JaxArray) -> JaxArray:
        return BETA1 * moment + (1 - BETA1) * gradient

    def second(moment: JaxArray, gradient: JaxArray) -> JaxArray:
        return BETA2 * moment + (1 - BETA2) * jnp.square(gradient)

    def move(parameter: JaxArray, moment1: JaxArray, moment2: JaxArray) -> JaxArray:
        return parameter - rate * moment1 / (jnp.sqrt(moment2) + eps)

    moments1 = jax.tree.map(first, moments1, gradients)
    moments2 = jax.tree.map(second, moments2, gradients)
    layers = jax.tree.map(move, layers, moments1, moments2)
    return layers, moments1, moments2, update + 1


def scan_epoch(
    step: Step,
    state: State,
    data: JaxArray,
    order: JaxArray,
    noise: JaxArray,
    batch_size: int,
    unroll: int,
) -> tuple[State, JaxArray]:
    """One pass over the data in the given order, for a jitted function; the loss summed over rows.

    Parameters
    ----------
    step : from state, rows and their noise to the next state and the loss summed over the rows
    noise : (rows, ...), drawn ahead
    unroll : steps per iteration of the compiled loop
    """
    n_steps, n_left = divmod(len(order), batch_size)
    n_whole = n_steps * batch_size

    def of_batch(state: State, batch: tuple[JaxArray, JaxArray]) -> tuple[State, JaxArray]:
        index, drawn = batch
        return step(state, jnp.take(data, index, axis=0, mode="clip"), drawn)

    batches = (
        order[:n_whole].reshape(n_steps, batch_size),
        noise[:n_whole].reshape(n_steps, batch_size, *noise.shape[1:]),
    )
    state, totals = jax.lax.scan(of_batch, state, batches, unroll=unroll)
    total = jnp.sum(totals)
    if n_left:
        state, last = of_batch(state, (order[n_whole:], noise[n_whole:]))
        total += last
    return state, total


def softplus_sums(logits: JaxArray, factors: int) -> JaxArray:
    """Sums over each row of log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|))."""
    if factors == 1 or logits.shape[1] % factors:
        terms = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
        return jnp.sum(terms, 1)
    parts = jnp.split(logits, factors, axis=1)
    products = reduce(jnp.multiply, [1 + jnp.exp(-jnp.abs(part)) for part in parts])
    return jnp.sum(sum(jnp.maximum(part, 0) for part in parts) + jnp.log(products), 1)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def closed_softplus_sums(logits: JaxArray, factors: int) -> JaxArray:
    """As `softplus_sums`, with the logistic function as its derivative."""
    return softplus_sums(logits, factors)


def _softplus_forward(logits: JaxArray, factors: int) -> tuple[JaxArray, JaxArray]:
    return softplus_sums(logits, factors), logits


def _softplus_backward(factors: int, logits: JaxArray, slope: JaxArray) -> tuple[JaxArray]:
    return (slope[:, None] * jax.nn.sigmoid(logits),)


closed_softplus_sums.defvjp(_softplus_forward, _softplus_backward)


def bernoulli_sum(logits: JaxArray, x: JaxArray) -> JaxArray:
    """The sum of -log p(x | logits) = max(l, 0) + log(1 + exp(-|l|)) - l x."""
    softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return jnp.sum(softplus - logits * x)


@jax.custom_vjp
def closed_bernoulli_sum(logits: JaxArray, x: JaxArray) -> JaxArray:
    """As `bernoulli_sum`, with sigmoid(l) - x as its derivative with respect to the logits."""
    return bernoulli_sum(logits, x)


def _bernoulli_forward(logits: JaxArray, x: JaxArray) -> tuple[JaxArray, tuple[JaxArray, JaxArray]]:
    return bernoulli_sum(logits, x), (logits, x)


def _bernoulli_backward(
    given: tuple[JaxArray, JaxArray], slope: JaxArray
) -> tuple[JaxArray, JaxArray]:
    logits, x = given
    return slope * (jax.nn.sigmoid(logits) - x), -slope * logits


closed_bernoulli_sum.defvjp(_bernoulli_forward, _bernoulli_backward)
