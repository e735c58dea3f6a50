"""Latents of the prior N(0, I), and what is decoded from them batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.data.labelled import RowSource
from fastvae.model.network import Network

_STREAM_LENGTH = 2**34  # from there on the generator's counter repeats itself


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
        most = _STREAM_LENGTH // self.n_latent
        if self.n_rows > most:
            raise ValueError(
                f"n must be at most {most} for {self.n_latent} latents, as samples repeat "
                f"themselves from there on; got {self.n_rows}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_rows, self.n_latent

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.n_rows)
        z = np.empty((stop - start, self.n_latent), self.dtype)
        element = start * self.n_latent
        kernels.normal_from(z, element, self.seed, kernels.STREAM_PRIOR, self.draw)
        return z


def decoded_batches(
    network: Network, latents: RowSource, batch_size: int
) -> Iterator[NDArray[Any]]:
    """Yield the means of the likelihood, `batch_size` rows at a time."""
    for first in range(0, len(latents), batch_size):
        yield network.decode(latents[first : first + batch_size], standard=True)
