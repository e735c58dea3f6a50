"""The likelihood p(x | z) of a model: its settings, and how the engine's sums become nats."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastvae import checks, kernels
from fastvae.training.nats import Nats

BERNOULLI, GAUSSIAN = "bernoulli", "gaussian"
LEAST_SIGMA = 1e-6
"""Its density in some hundred dimensions is still far from float32's largest number."""


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of a model.

    Parameters
    ----------
    name : str
        A name of `kernels.LIKELIHOODS`.
    sigma : float, optional
        Standard deviation of the Gaussian likelihood. If missing, it goes by the reconstruction
        weight C: sigma^2 = 1 / (2 C).

    Raises
    ------
    TypeError, ValueError
        If a setting is not what it must be, or does not suit the likelihood.
    """

    name: str
    sigma: float | None = None

    def __post_init__(self) -> None:
        checks.choice(self.name, kernels.LIKELIHOODS, "likelihood")
        if self.sigma is None:
            return
        if self.name != GAUSSIAN:
            raise ValueError(
                f"sigma is of the Gaussian likelihood; got {self.sigma!r} with {self.name!r}"
            )
        sigma = checks.number(self.sigma, "sigma", LEAST_SIGMA)
        object.__setattr__(self, "sigma", sigma)

    def __str__(self) -> str:
        return self.name if self.sigma is None else f"{self.name} of sigma {self.sigma!r}"

    @property
    def sigma_by_weight(self) -> bool:
        """Whether the reconstruction weight is no weight, but says what sigma is."""
        return self.name == GAUSSIAN and self.sigma is None

    def check_weight(self, value: float) -> float:
        """Return a reconstruction weight, checked: above 0 where it says what sigma is."""
        return checks.number(value, "reconstruction_weight", positive=self.sigma_by_weight)

    def nats(self, weight: float, n_features: int) -> Nats:
        """How sums of the engine become nats, by the reconstruction weight.

        Of the Gaussian the engine sums (x - x_hat)^2, and
        -log N(x; x_hat, sigma^2 I) = D / 2 log(2 pi sigma^2) + sum / (2 sigma^2)
        (Bishop 2006, "Pattern Recognition and Machine Learning", eq. 2.43).
        """
        if self.name != GAUSSIAN:
            return Nats(weight)
        if self.sigma is None:
            return Nats(weight, weight, n_features / 2 * math.log(math.pi / weight))
        factor = 0.5 / self.sigma**2
        offset = n_features / 2 * math.log(math.pi / factor)
        return Nats(weight * factor, factor, offset, weight * offset)
