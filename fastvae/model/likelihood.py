"""The likelihood p(x | z) of a model: its settings, and what they make of a network.

Letters: I features, G Gaussian ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fastvae import checks, kernels
from fastvae.checks.likelihoods import Block, Columns
from fastvae.kernels import engine
from fastvae.model.kinds import CATEGORICAL, KINDS, LIKELIHOODS, MIXED, WITH_BLOCKS
from fastvae.model.names import Activation, LikelihoodName, Missing, SigmaName
from fastvae.training.nats import Nats

BERNOULLI, GAUSSIAN = "bernoulli", "gaussian"
LEARNED, FEATURE, OUTPUT = "learned", "feature", "output"
ERROR: Missing = "error"
IGNORE: Missing = "ignore"
LEAST_SIGMA, SIGMA_BELOW = 1e-6, 1e18
"""Densities in some hundred dimensions, and squares, are still far from the largest float32."""


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of a model.

    Parameters
    ----------
    name : str
        A name of `kinds.LIKELIHOODS`.
    sigma : float or str, optional
        Standard deviation of Gaussian columns: a number, or what it is trained as, "learned" (one
        for all), "feature" (one for each) or "output" (by the decoder). If missing, it goes by the
        reconstruction weight C: sigma^2 = 1 / (2 C).
    blocks : sequence, optional
        Of "categorical" the columns of each block, of "mixed" pairs of kind and columns.
    missing : str
        Whether NaN in the data is an "error", or left out, "ignore".

    Raises
    ------
    TypeError, ValueError
        If a setting is not what it must be, or does not suit the likelihood.
    """

    name: LikelihoodName
    sigma: float | SigmaName | None = None
    blocks: Sequence[Any] | None = None
    missing: Missing = ERROR

    def __post_init__(self) -> None:
        checks.choice(self.name, LIKELIHOODS, "likelihood")
        checks.choice(self.missing, (ERROR, IGNORE), "missing")
        object.__setattr__(self, "blocks", _checked_blocks(self.name, self.blocks))
        if self.sigma is None:
            return
        if not self._has_gaussian:
            raise ValueError(
                f"sigma is of the Gaussian likelihood; got {self.sigma!r} with {self.name!r}"
            )
        if isinstance(self.sigma, str):
            checks.choice(self.sigma, (LEARNED, FEATURE, OUTPUT), "sigma")
        else:
            sigma = checks.number(self.sigma, "sigma", LEAST_SIGMA, SIGMA_BELOW)
            object.__setattr__(self, "sigma", sigma)

    def __str__(self) -> str:
        """The name, and all settings that are not what they are by default."""
        further = [
            f"{field.name} {getattr(self, field.name)!r}"
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return " of ".join([self.name, ", ".join(further)]) if further else self.name

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON takes them."""
        blocks = self.blocks
        if blocks is not None:
            blocks = [list(block) if isinstance(block, tuple) else block for block in blocks]
        return {
            "likelihood": self.name,
            "sigma": self.sigma,
            "blocks": blocks,
            "missing": self.missing,
        }

    @property
    def _has_gaussian(self) -> bool:
        kinds = [kind for kind, _ in self.blocks or ()] if self.name == MIXED else [self.name]
        return GAUSSIAN in kinds

    @property
    def sigma_by_weight(self) -> bool:
        """Whether the reconstruction weight is no weight, but says what sigma is."""
        return self._has_gaussian and self.sigma is None

    @property
    def by_rows(self) -> bool:
        """Whether the engine takes whole rows, and sums up nats."""
        return (
            self.name not in kernels.LIKELIHOODS
            or isinstance(self.sigma, str)
            or self.missing == IGNORE
        )

    @property
    def output_activation(self) -> Activation:
        """Activation of the last layer, unless the Gaussian likelihood is given another."""
        return "sigmoid" if self.name == BERNOULLI else "identity"

    def kinds(self, n_features: int) -> list[tuple[str, int]]:
        """The kind and the columns of each block of rows.

        Raises
        ------
        ValueError
            If the blocks have another number of columns.
        """
        if self.blocks is None:
            return [(self.name, n_features)]
        kinds = [(CATEGORICAL, n) if self.name == CATEGORICAL else n for n in self.blocks]
        n_columns = sum(n for _, n in kinds)
        if n_columns != n_features:
            raise ValueError(
                f"blocks must have as many columns as there are features, {n_features}; "
                f"got {n_columns}"
            )
        return kinds

    def columns(self, n_features: int) -> Columns:
        """What rows must hold."""
        blocks = [
            Block(KINDS[kind].title, KINDS[kind].domain, n) for kind, n in self.kinds(n_features)
        ]
        return Columns(blocks, self.missing == IGNORE)

    def n_gaussian(self, n_features: int) -> int:
        """How many columns are Gaussian, G."""
        return sum(n for kind, n in self.kinds(n_features) if kind == GAUSSIAN)

    def n_outputs(self, n_features: int) -> int:
        """How many outputs the decoder has: I, and G more where they say what sigma is."""
        return n_features + (self.n_gaussian(n_features) if self.sigma == OUTPUT else 0)

    def even_outputs(self, n_features: int) -> np.ndarray:
        """Which outputs start the same for all rows: rates, and what says sigma."""
        even = np.ones(self.n_outputs(n_features), np.bool_)
        even[:n_features] = [
            KINDS[kind].starts_even for kind, n in self.kinds(n_features) for _ in range(n)
        ]
        return even

    def n_raws(self, n_features: int) -> int:
        """How many raws of sigma are parameters of their own; sigma = SIGMA_MIN + exp(raw)."""
        return {LEARNED: 1, FEATURE: self.n_gaussian(n_features)}.get(str(self.sigma), 0)

    def check_weight(self, value: float) -> float:
        """Return a reconstruction weight, checked: above 0 where it says what sigma is."""
        return checks.number(value, "reconstruction_weight", positive=self.sigma_by_weight)

    def given_sigma(self, weight: float) -> float:
        """What sigma is, by the reconstruction weight; where it is trained, what it is above."""
        if self.sigma_by_weight:
            return math.sqrt(0.5 / weight)
        return self.sigma if isinstance(self.sigma, float) else kernels.SIGMA_MIN

    def present_sigma(self, weight: float, raws: np.ndarray | None) -> Any:
        """Sigma by the reconstruction weight and its raws; None where it is of each row."""
        if not self._has_gaussian or self.sigma == OUTPUT:
            return None
        if raws is None:
            return self.given_sigma(weight)
        sigmas = kernels.SIGMA_MIN + np.exp(raws.astype(np.float64))
        return float(sigmas[0]) if self.sigma == LEARNED else sigmas

    def for_engine(self, n_features: int, activation: str, sigma: np.ndarray) -> Any:
        """The likelihood as `engine.Workspace` takes it.

        Parameters
        ----------
        n_features : int
        activation : str
            Of the last layer.
        sigma : ndarray of float64, shape (1,)
            What `given_sigma` says, kept up to date.
        """
        if not self.by_rows:
            return self.name
        kinds = [(kernels.BLOCK_KINDS[kind], n) for kind, n in self.kinds(n_features)]
        in_row = self.sigma == OUTPUT
        return engine.RowLikelihood(
            engine.blocks_of(kinds),
            sigma,
            n_raws=self.n_gaussian(n_features) if in_row else self.n_raws(n_features),
            raws_in_row=in_row,
            missing=self.missing == IGNORE,
            activation=kernels.ACTIVATIONS[activation],
        )

    def nats(self, weight: float, n_features: int) -> Nats:
        """How sums of the engine become nats, by the reconstruction weight.

        Of the Gaussian the engine sums (x - x_hat)^2, and
        -log N(x; x_hat, sigma^2 I) = D / 2 log(2 pi sigma^2) + sum / (2 sigma^2)
        (Bishop 2006, "Pattern Recognition and Machine Learning", eq. 2.43); where it takes whole
        rows, it sums nats.
        """
        if self.by_rows:
            return Nats(1.0 if self.sigma_by_weight else weight)
        if self.name != GAUSSIAN:
            return Nats(weight)
        if self.sigma is None:
            return Nats(weight, weight, n_features / 2 * math.log(math.pi / weight))
        factor = 0.5 / self.given_sigma(weight) ** 2
        offset = n_features / 2 * math.log(math.pi / factor)
        return Nats(weight * factor, factor, offset, weight * offset)


def _checked_blocks(name: str, blocks: Any) -> tuple[Any, ...] | None:
    """Blocks of a likelihood as a tuple, none where it has none.

    Raises
    ------
    TypeError, ValueError
        If they are not what the likelihood needs.
    """
    if name not in WITH_BLOCKS:
        if blocks is not None:
            raise ValueError(f"blocks are of categorical and mixed likelihoods; got {name!r}")
        return None
    example = "[3, 5]" if name == CATEGORICAL else '[("gaussian", 4), ("categorical", 3)]'
    if not isinstance(blocks, (list, tuple)) or not blocks:
        raise ValueError(
            f"the {name} likelihood needs blocks, a list like {example}; got {blocks!r}"
        )
    if name == CATEGORICAL:
        return tuple(checks.size(n, "columns of a block") for n in blocks)
    pairs = []
    for block in blocks:
        if not isinstance(block, (list, tuple)) or len(block) != 2:
            raise ValueError(f"blocks must be pairs of kind and columns; got {block!r}")
        kind, n = block
        pairs.append(
            (checks.choice(kind, KINDS, "kind of a block"), checks.size(n, "columns of a block"))
        )
    return tuple(pairs)
