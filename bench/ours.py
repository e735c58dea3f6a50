"""fastvae as a contestant: its public interface, and for single steps its network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE, Array, Estimate, Sizes
from fastvae import VAE, kernels
from fastvae.kernels import engine


class FastVAE:
    """fastvae; see `bench.contestants.ImportanceWeighted`."""

    training_variants: ClassVar[list[dict[str, Any]]] = [{}]
    iwae_variants: ClassVar[list[dict[str, Any]]] = [{}]
    pass_variants: ClassVar[list[dict[str, Any]]] = [{}]
    likelihood_variants: ClassVar[list[dict[str, Any]]] = [{}]

    def __init__(self, sizes: Sizes) -> None:
        self._vae = VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent)

    def set_parameters(self, named: dict[str, Array]) -> None:
        for name, layer in self._vae.named_layers().items():
            layer.weight, layer.bias = named[f"{name}.weight"], named[f"{name}.bias"]

    def get_parameters(self) -> dict[str, Array]:
        named = {}
        for name, layer in self._vae.named_layers().items():
            named[f"{name}.weight"] = np.array(layer.weight)
            named[f"{name}.bias"] = np.array(layer.bias)
        return named

    def save(self, path: Path) -> None:
        self._vae.save(path)

    def prepare(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return rows

    def fit(self, data: NDArray[np.uint8], epochs: int, batch_size: int) -> list[float]:
        history = self._vae.fit(data, epochs=epochs, batch_size=batch_size, verbose=False)
        return history["loss"]

    def fit_iwae(
        self, data: NDArray[np.uint8], epochs: int, batch_size: int, n_samples: int
    ) -> list[float]:
        history = self._vae.fit(
            data,
            epochs=epochs,
            batch_size=batch_size,
            objective="iwae",
            n_samples=n_samples,
            verbose=False,
        )
        return history["loss"]

    def iwae_gradients(
        self, rows: NDArray[np.uint8], noise: Array
    ) -> tuple[float, dict[str, Array]]:
        losses, gradients = self._vae.gradients(
            rows, noise, objective="iwae", n_samples=noise.shape[1]
        )
        return -losses.loss, gradients

    def gradients(
        self, rows: NDArray[np.uint8], noise: Array
    ) -> tuple[float, float, dict[str, Array]]:
        losses, gradients = self._vae.gradients(rows, noise)
        return losses.reconstruction, losses.kl, gradients

    def step(self, rows: NDArray[np.uint8], noise: Array) -> None:
        """One update with given noise: `gradients`, then the kernels' Adam on each array.

        Training draws its own noise, so this is for comparing results, not for timing.
        """
        _, gradients = self._vae.gradients(rows, noise)
        parameters = self.get_parameters()
        for name, gradient in gradients.items():
            parameter = parameters[name].ravel()
            moments = np.zeros_like(parameter), np.zeros_like(parameter)
            kernels.adam_update(
                parameter, gradient.ravel(), *moments, 1, LEARNING_RATE, BETA1, BETA2, EPS
            )
            parameters[name] = parameter.reshape(gradient.shape)
        self.set_parameters(parameters)

    def encode(self, data: NDArray[np.uint8]) -> tuple[Array, Array]:
        return self._vae.encode(data)

    def decode(self, latents: Array) -> Array:
        return self._vae.decode(latents)

    def sample(self, n: int) -> Array:
        return self._vae.sample(n)

    def evaluate(self, data: NDArray[np.uint8]) -> tuple[float, float]:
        result = self._vae.elbo(data)
        return result.reconstruction, result.kl

    def log_likelihood(self, data: NDArray[np.uint8], n_samples: int) -> Estimate:
        with warnings.catch_warnings():  # of few effective samples: they stand beside the figures
            warnings.simplefilter("ignore", UserWarning)
            return Estimate(*self._vae.log_likelihood(data, n_samples, per_sample=True))


class Steps:
    """Training steps alone: no input checks, no shuffling, no history around them.

    Parameters
    ----------
    sizes : Sizes
    rows : (N, n_features) uint8
    batch_size : int
    """

    def __init__(self, sizes: Sizes, rows: NDArray[np.uint8], batch_size: int) -> None:
        self._network = VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent).network
        self._rows = rows
        self._order = np.arange(len(rows), dtype=np.int64)
        self._batch_size = batch_size
        self.n_steps = len(rows) // batch_size
        self._moments = (
            self._network.new_arena(),
            self._network.new_arena(),
        )
        self._totals = engine.new_totals(sizes.n_latent)
        self._skip_zeros = bool(self._network.pays_to_skip(rows))
        self._n_updates = 0

    def run(self) -> None:
        """Do one step with each whole batch of the rows."""
        run = engine.Training(
            n_steps=self.n_steps,
            batch_size=self._batch_size,
            optimizer=kernels.OPTIMIZERS["adam"],
            hyper=np.array([BETA1, BETA2, EPS]),
            schedule=engine.new_schedule(self.n_steps, LEARNING_RATE),
            updates_before=self._n_updates,
            draws=np.array([self._n_updates]),
            totals=self._totals,
        )
        self._network.train(
            self._rows,
            self._order,
            run,
            moments=self._moments,
            seed=0,
            skip_zeros=self._skip_zeros,
        )
        self._n_updates += self.n_steps
