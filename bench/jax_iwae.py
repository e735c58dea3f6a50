"""Training with the importance-weighted bound in JAX at its best.

The encoder runs once for each row, the decoder once for each of the k latents; an epoch is one
jitted `lax.scan` with donated buffers, and its noise is drawn ahead. The softplus of the logits has
the closed form of its gradient, or, not `closed`, is differentiated as it is written. x . logits =
h . (W x) + b . x with the last hidden layer h, or, `direct`, the sum over the pixels. The weights
of the latents in the gradient are what differentiating the bound gives (Burda, Grosse &
Salakhutdinov 2016, eq. 14).
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bench.jax_network import (
    JaxArray,
    Layers,
    State,
    adam,
    as_pixels,
    closed_softplus_sums,
    dense,
    fresh,
    last_hidden,
    posterior,
    scan_epoch,
    softplus_sums,
    to_named,
)
from bench.jax_vae import JaxVAE
from bench.workload import Array, Sizes

_CLOSED: dict[str, Any] = {
    "storage": "float32",
    "unroll": 1,
    "closed": True,
    "factors": 1,
    "rng": "rbg",
}


class Formula(NamedTuple):
    """How the bound is written; see `JaxIWAE`."""

    closed: bool
    factors: int
    direct: bool


class JaxIWAE(JaxVAE):
    """JAX, which can train on the bound too; see `bench.contestants.ImportanceWeighted`.

    Parameters
    ----------
    sizes : Sizes
    direct : whether x . logits is summed over the pixels, in training on the bound
    variant : see `JaxVAE`
    """

    iwae_variants: ClassVar[list[dict[str, Any]]] = [
        _CLOSED,
        _CLOSED | {"factors": 8},
        _CLOSED | {"storage": "uint8"},
        _CLOSED | {"unroll": 4},
        _CLOSED | {"unroll": 4, "factors": 8},
        _CLOSED | {"direct": True},
        _CLOSED | {"rng": "threefry2x32"},
        _CLOSED | {"closed": False, "direct": True},
    ]

    def __init__(self, sizes: Sizes, *, direct: bool = False, **variant: Any) -> None:
        super().__init__(sizes, **variant)
        self._formula = Formula(self._closed, self._factors, direct)

    def fit_iwae(self, data: JaxArray, epochs: int, batch_size: int, n_samples: int) -> list[float]:
        """Train on the bound with `n_samples` latents a row; the mean of -bound of each epoch."""
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
                n_samples=n_samples,
                batch_size=batch_size,
                unroll=self._unroll,
                formula=self._formula,
            )
            totals.append(total)
        self._layers = state[0]
        return [float(total) / len(data) for total in totals]

    def iwae_gradients(
        self, rows: NDArray[np.uint8], noise: Array
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean of the bound and the gradients of its negative, noise (B, k, Z)."""
        total, gradients = _sum_and_gradients(
            self._layers, self.prepare(rows), noise, self.sizes.n_encoder, self._formula
        )
        return -float(total) / len(rows), to_named(gradients, self.sizes)


def _log_weights(
    layers: Layers, rows: JaxArray, noise: JaxArray, n_encoder: int, formula: Formula
) -> JaxArray:
    """log p(x | z) + log p(z) - log q(z | x) of each row's latents, (B, k)."""
    x = as_pixels(rows)
    mean, log_var = posterior(layers, x, n_encoder)
    z = mean[:, None] + jnp.exp(0.5 * log_var)[:, None] * noise
    hidden = last_hidden(layers, z.reshape(-1, z.shape[2]), n_encoder)
    logits = dense(hidden, layers[-1])
    softplus_of = closed_softplus_sums if formula.closed else softplus_sums
    softplus = softplus_of(logits, formula.factors).reshape(noise.shape[:2])
    weight, bias = layers[-1]
    if formula.direct:
        products = jnp.sum(logits.reshape(*noise.shape[:2], -1) * x[:, None], 2)
    else:
        hidden = hidden.reshape(*noise.shape[:2], -1)
        products = jnp.einsum("bkh,bh->bk", hidden, x @ weight.T) + (x @ bias)[:, None]
    densities = 0.5 * (jnp.sum(jnp.square(noise), 2) - jnp.sum(jnp.square(z), 2))
    return products - softplus + densities + 0.5 * jnp.sum(log_var, 1)[:, None]


@partial(jax.jit, static_argnums=(3, 4))
def _sum_and_gradients(
    layers: Layers, rows: JaxArray, noise: JaxArray, n_encoder: int, formula: Formula
) -> tuple[JaxArray, Layers]:
    """The sum over the rows of -bound, and the gradients of its mean."""

    def mean_loss(layers: Layers) -> JaxArray:
        log_weights = _log_weights(layers, rows, noise, n_encoder, formula)
        bounds = jax.nn.logsumexp(log_weights, 1) - jnp.log(noise.shape[1])
        return -jnp.mean(bounds)

    mean, gradients = jax.value_and_grad(mean_loss)(layers)
    return mean * len(rows), gradients


def _step(
    state: State, rows: JaxArray, noise: JaxArray, n_encoder: int, formula: Formula
) -> tuple[State, JaxArray]:
    """One update; -bound summed over the batch."""
    total, gradients = _sum_and_gradients(state[0], rows, noise, n_encoder, formula)
    return adam(state, gradients), total


@partial(
    jax.jit,
    static_argnames=("n_encoder", "n_samples", "batch_size", "unroll", "formula"),
    donate_argnums=0,
)
def _epoch(
    state: State,
    data: JaxArray,
    order: JaxArray,
    key: JaxArray,
    *,
    n_encoder: int,
    n_samples: int,
    batch_size: int,
    unroll: int,
    formula: Formula,
) -> tuple[State, JaxArray]:
    """One pass over the data in the given order; -bound summed over all rows."""
    shape = len(order), n_samples, state[0][n_encoder][1].size // 2
    step = partial(_step, n_encoder=n_encoder, formula=formula)
    noise = jax.random.normal(key, shape)
    return scan_epoch(step, state, data, order, noise, batch_size, unroll)
