"""The loss of rows taken as one batch, and its gradients by the names of the parameters.

Letters: B batch rows, I features, Z latents.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks
from fastvae.checks import public
from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows, Use
from fastvae.files import storage
from fastvae.model.bounds import Bounds
from fastvae.training.names import ObjectiveName
from fastvae.training.objectives import Objective


@public
class Losses(NamedTuple):
    """What is minimised, `loss`, and its parts in nats, `reconstruction` and `kl`: see `VAE`."""

    loss: float
    reconstruction: float
    kl: float


class Gradients(Bounds):
    """Base of a model: its loss on rows, and the gradients of this."""

    @property
    @abstractmethod
    def beta(self) -> float:
        """Weight of the KL divergence in the loss."""

    @abstractmethod
    def check_rows(
        self, X: Rows, name: str = "X", use: Use = "pass", labels: ArrayLike | None = None
    ) -> Checked:
        """Rows as the network takes them."""

    @abstractmethod
    def _layers_in(self, values: NDArray[Any]) -> dict[str, storage.SavedLayer]:
        """The layers by name, with the parameters that an array like the network's holds."""

    def gradients(
        self,
        X: Rows,
        noise: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        objective: ObjectiveName = "elbo",
        n_samples: int = 1,
        free_bits: float = 0.0,
    ) -> tuple[Losses, dict[str, NDArray[Any]]]:
        """Return the loss of rows taken as one batch, and its gradients.

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.
        noise : array_like, shape (B, Z), or (B, n_samples, Z) of several latents; optional
            Standard normal noise of the latents; drawn like that of `feedforward` if missing.
        labels : array_like of int, shape (B,), or a number for one row; optional
            As for `encode`.
        objective, n_samples, free_bits
            As for `fit`.

        Returns
        -------
        losses : Losses
            Named tuple (loss, reconstruction, kl), means over the batch in nats; of several latents
            the mean of their reconstructions.
        gradients : dict of ndarray
            Gradients of the loss by name: encoder.0.weight, sampler.mean.bias, ...;
            likelihood.raw_sigma where sigma = 0.001 + exp(raw) is "learned" or one per "feature".

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be.
        """
        bound = Objective.of(objective, n_samples, free_bits)
        rows, nats = self.check_rows(X, labels=labels), self.nats
        bound.check(nats, self.beta)
        if noise is None:
            drawn = self.sampler.noise(len(rows) * n_samples)
        else:
            samples = (n_samples,) if n_samples > 1 or np.ndim(noise) == 3 else ()
            shape = len(rows), *samples, self.n_latent
            drawn = checks.parameter(noise, "noise", shape, self._dtype)
        loss, sums, kl, arena = self.network.gradients(
            rows, drawn, nats.weight, self.beta, bound.for_engine
        )
        losses = Losses(loss + nats.constant, nats.reconstruction(sums), kl)
        raws = self.network.read_raws(arena)
        return losses, storage.named_arrays(self._layers_in(arena), raws)
