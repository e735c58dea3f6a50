"""Latents of the prior N(0, I) or of a mixture, and what is decoded from them batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.data.labelled import RowSource, values
from fastvae.files.mixtures import PosteriorMixture
from fastvae.model.network import Network

_STREAM_LENGTH = 2**34  # from there on the generator's counter repeats itself


@dataclass(frozen=True)
class Weights:
    """A digest of a network's parameters, by which it shows whether they have changed."""

    digest: bytes

    @classmethod
    def of(cls, network: Network) -> Weights:
        """The present ones."""
        with network.gate.reading:
            return cls(hashlib.blake2b(network.parameters.data, digest_size=16).digest())

    def are_of(self, network: Network) -> bool:
        """Whether the network has them still."""
        return self == Weights.of(network)


@dataclass(frozen=True)
class PriorLatents:
    """Standard normal latents, drawn where they are read, a slice at a time.

    Attributes
    ----------
    n_rows, n_latent : int
    dtype : numpy.dtype
    seed, draw : int
        Which numbers they are.
    """

    n_rows: int
    n_latent: int
    dtype: np.dtype[Any]
    seed: int
    draw: int = 0

    def __post_init__(self) -> None:
        most = _STREAM_LENGTH // self.n_numbers
        if self.n_rows > most:
            raise ValueError(
                f"n must be at most {most} for {self.n_latent} latents, as samples repeat "
                f"themselves from there on; got {self.n_rows}"
            )

    @property
    def n_numbers(self) -> int:
        """How many numbers of the stream a row takes."""
        return self.n_latent

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_rows, self.n_latent

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self._normals(rows, kernels.STREAM_PRIOR)

    @property
    def is_standard(self) -> bool:
        """Whether they are on the scale of the prior, whatever that is."""
        return True

    def check(self, network: Network) -> None:
        """Raise a ValueError if a network cannot decode them; all can decode those of the prior."""

    def _normals(self, rows: slice, stream: int) -> NDArray[Any]:
        """The numbers of some rows, shape (n, n_numbers)."""
        start, stop, _ = rows.indices(self.n_rows)
        numbers = np.empty((stop - start, self.n_numbers), self.dtype)
        element = start * self.n_numbers
        kernels.normal_from(numbers, element, self.seed, stream, self.draw)
        return numbers


@dataclass(frozen=True)
class MixtureLatents(PriorLatents):
    """Latents of a mixture, drawn where they are read.

    The first of a row's Z + 1 normal numbers chooses its component, by where it lies among the
    quantiles that part N(0, 1) as the weights say; the others are its noise. What a row is does not
    depend on those that are drawn with it.

    Attributes
    ----------
    mixture : PosteriorMixture
    weights : Weights
        What it was fitted with.
    """

    mixture: PosteriorMixture = field(kw_only=True)
    weights: Weights = field(kw_only=True)

    @property
    def n_numbers(self) -> int:
        """How many numbers of the stream a row takes."""
        return self.n_latent + 1

    @property
    def is_standard(self) -> bool:
        """Whether they are on the scale of the prior: no, on that of posteriors."""
        return False

    def check(self, network: Network) -> None:
        """Raise a ValueError if the network's weights have changed since the mixture's fit."""
        if not self.weights.are_of(network):
            raise ValueError(
                "the model's weights have changed since the mixture of its latents was fitted, "
                "which no longer is of use: fit_posterior(X), or data=X of a call of sample, "
                "fits it anew"
            )

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        numbers = self._normals(rows, kernels.STREAM_POSTERIOR)
        chosen = np.searchsorted(_quantiles(self.mixture.weights), numbers[:, 0])
        z = np.empty((len(numbers), self.n_latent), self.dtype)
        for component in np.unique(chosen):
            its = chosen == component
            # Of a kernel, whose sums are the same however many rows there are.
            part = np.empty((np.count_nonzero(its), self.n_latent), self.dtype)
            factor = self.mixture.cholesky[component].astype(self.dtype)
            mean = self.mixture.means[component].astype(self.dtype)
            noise = np.ascontiguousarray(numbers[its, 1:])
            kernels.dense_forward(part, noise, factor, mean, kernels.ACTIVATIONS["identity"])
            z[its] = part
        return z


def _quantiles(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where N(0, 1) is parted so that the parts have these probabilities, shape (C - 1,)."""
    inner = np.cumsum(weights)[:-1]
    normal = NormalDist()
    return np.array(
        [normal.inv_cdf(p) if 0 < p < 1 else np.copysign(np.inf, p - 0.5) for p in inner]
    )


def decoded_batches(
    network: Network, latents: RowSource, batch_size: int
) -> Iterator[NDArray[Any]]:
    """Yield the means of the likelihood, `batch_size` rows at a time."""
    drawn: PriorLatents = values(latents)
    for first in range(0, len(latents), batch_size):
        drawn.check(network)
        yield network.decode(latents[first : first + batch_size], standard=drawn.is_standard)
