"""Gaussian mixtures of latents, as model files hold them: three arrays, checked.

Letters: C components, Z latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks

PREFIX = "posterior."
"""What the names of a mixture's tensors begin with."""
PARTS = ("weights", "means", "cholesky")
_SUM_ERROR = 1e-6


@checks.public
@dataclass(frozen=True, eq=False, repr=False)
class PosteriorMixture:
    """A Gaussian mixture of latents, sum over c of weights[c] N(means[c], L_c L_c^T).

    Parameters
    ----------
    weights : ndarray, shape (C,)
        Probability of each component.
    means : ndarray, shape (C, Z)
    cholesky : ndarray, shape (C, Z, Z)
        The lower triangular L_c = cholesky[c], with no negative number on the diagonal; it has 0
        there where a latent does not vary.

    Attributes
    ----------
    weights, means, cholesky : ndarray of float64
        Copies that cannot be written to.

    Raises
    ------
    TypeError, ValueError
        If an array is not what it must be.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    cholesky: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = np.shape(self.means)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"means must have shape (C, Z), both at least 1; got {shape}")
        for name, wanted in zip(PARTS, shapes(*shape).values(), strict=True):
            array = _finite(getattr(self, name), name, wanted)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if (self.weights < 0).any() or abs(self.weights.sum() - 1) > _SUM_ERROR:
            raise ValueError(
                "weights must be at least 0 and add up to 1; "
                f"got a least one of {self.weights.min():g} and a sum of {self.weights.sum():g}"
            )
        if np.triu(self.cholesky, 1).any():
            raise ValueError("cholesky must be lower triangular; got a number above a diagonal")
        diagonals = np.diagonal(self.cholesky, axis1=1, axis2=2)
        if (diagonals < 0).any():
            raise ValueError(f"diagonals of cholesky must be at least 0; got {diagonals.min():g}")

    @property
    def n_components(self) -> int:
        """Number of components C."""
        return len(self.weights)

    @property
    def n_latent(self) -> int:
        """Number of latents Z."""
        return self.means.shape[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return PosteriorMixture, (self.weights, self.means, self.cholesky)

    def __str__(self) -> str:
        return f"mixture of {self.n_components} Gaussian{'s' * (self.n_components != 1)}"

    def __repr__(self) -> str:
        return f"<PosteriorMixture: {self}, {self.n_latent} latent{'s' * (self.n_latent != 1)}>"


def shapes(n_components: int, n_latent: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a mixture's tensors by their names in a file."""
    c, z = n_components, n_latent
    return dict(zip(map(PREFIX.__add__, PARTS), ((c,), (c, z), (c, z, z)), strict=True))


def to_arrays(mixture: PosteriorMixture | None) -> dict[str, NDArray[np.float64]]:
    """The tensors of a mixture by their names in a file; none without a mixture."""
    return {} if mixture is None else {PREFIX + name: getattr(mixture, name) for name in PARTS}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> PosteriorMixture | None:
    """The mixture whose tensors are among those of a file, if there is one.

    Raises
    ------
    ValueError
        If it is none.
    """
    if PREFIX + PARTS[0] not in arrays:
        return None
    try:
        return PosteriorMixture(*(arrays[PREFIX + name] for name in PARTS))
    except ValueError as error:
        raise ValueError(f"the posterior mixture is damaged: {error}") from error


def _finite(values: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A copy as float64, of numbers that float32 can hold, too: models in it draw from them."""
    checks.parameter(values, name, shape, np.dtype(np.float32))
    return np.array(values, np.float64, order="C")
