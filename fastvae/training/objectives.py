"""Objectives: what training maximises, and which settings it has a meaning with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks, kernels
from fastvae.kernels import engine
from fastvae.training.names import ObjectiveName
from fastvae.training.nats import Nats

MOST_SAMPLES = 2**20


@dataclass(frozen=True)
class Objective:
    """What training maximises; `VAE.fit` documents it.

    Attributes
    ----------
    name : str
        "elbo", "iwae" or "dreg".
    n_samples : int
        Latents k of each row.
    free_bits : float
        Nats of each latent unit's mean KL that cost nothing less; 0 for none.
    """

    name: ObjectiveName = "elbo"
    n_samples: int = 1
    free_bits: float = 0.0

    @classmethod
    def of(cls, name: Any, n_samples: Any, free_bits: Any) -> Objective:
        """Return the objective of arguments as users give them.

        Raises
        ------
        TypeError, ValueError
            If one is not what it must be, or they have no meaning together.
        """
        checks.choice(name, kernels.OBJECTIVES, "objective")
        n_samples = checks.integer(n_samples, "n_samples", maximum=MOST_SAMPLES)
        free_bits = checks.number(free_bits, "free_bits")
        if name != "elbo" and free_bits > 0.0:
            raise ValueError(
                f'free_bits belongs to objective="elbo", whose KL it changes; {name!r} has no KL '
                f"of its own; got free_bits={free_bits:g}"
            )
        return cls(name, n_samples, free_bits)

    @property
    def is_bound(self) -> bool:
        """Whether it weighs its latents, so that it is a bound of its own beside the ELBO."""
        return self.name != "elbo"

    @property
    def facts(self) -> dict[str, Any]:
        """What a run is known by; nothing where it is what all runs once were."""
        return {} if self == PLAIN else {"objective": str(self)}

    @property
    def for_engine(self) -> engine.Objective:
        """The objective as the engine takes it."""
        return engine.Objective(kernels.OBJECTIVES[self.name], self.n_samples, self.free_bits)

    def __str__(self) -> str:
        plural = "" if self.n_samples == 1 else "s"
        samples = f", {self.n_samples} sample{plural}"
        samples = samples if self.is_bound or self.n_samples > 1 else ""
        # The shortest text that is this number and no other: runs are told apart by it.
        bits = f", {self.free_bits!r} free nats a latent" if self.free_bits else ""
        return f"{self.name}{samples}{bits}"

    def check(self, nats: Nats, beta: float | NDArray[Any] | str) -> None:
        """Refuse weights of the loss that the objective has no meaning with.

        Parameters
        ----------
        nats : Nats
            Of the model.
        beta : float, array or str
            The weight of the KL, or what stands in its place.

        Raises
        ------
        ValueError
            If the KL or the reconstruction has a weight of its own.
        """
        if not self.is_bound:
            return
        if isinstance(beta, str) or np.any(np.asarray(beta) != 1.0):
            shown = beta if isinstance(beta, str) else f"{np.ravel(beta)[0]:g}"
            raise ValueError(
                f"objective={self.name!r} weighs latents by p(x, z) / q(z | x), in which the KL "
                f'has no weight: beta must be 1; got {shown}. objective="elbo" takes a beta'
            )
        if nats.weight != nats.factor:
            raise ValueError(
                f"objective={self.name!r} weighs latents by p(x, z) / q(z | x), in which the "
                f"reconstruction has no weight: reconstruction_weight must be 1; got "
                f'{nats.weight:g}. objective="elbo" takes one'
            )


PLAIN = Objective()
"""The evidence lower bound by one latent for each row."""
