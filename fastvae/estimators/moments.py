"""The optimiser's moments between two calls of `partial_fit`, as any machine can read them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastvae.model.network import Network
from fastvae.training.progress import Moments, Progress


class KeptMoments(NamedTuple):
    """Arrays of each layer, for the two moments, and how many updates made them."""

    first: dict[str, np.ndarray]
    second: dict[str, np.ndarray]
    n_updates: int


def keep(network: Network, run: Progress) -> KeptMoments:
    """Copy the moments that a run has ended with."""
    first, second = (network.to_arrays(arena) for arena in run.moments)
    return KeptMoments(first, second, run.earlier_updates + run.counts.n_updates)


def restore(network: Network, kept: KeptMoments) -> Moments:
    """The moments as training takes them; those that are kept do not change."""
    arenas = network.from_arrays(kept.first), network.from_arrays(kept.second)
    return Moments(arenas, kept.n_updates)
