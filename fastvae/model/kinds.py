"""The kinds of columns that a likelihood can be of: which values they take, and how outputs start.

The formulas of each kind are kernels (`kernels/maths/row_likelihoods.py`); docs/likelihoods.md says
what each is a likelihood of. The command line's help is made from this table, so that nothing here
needs NumPy or compiled code.
"""

import math
from collections.abc import Callable
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of columns.

    Attributes
    ----------
    title : str
        What messages call it.
    domain : str
        The values it takes, which `checks.likelihoods` looks at: "unit" for [0, 1], "real",
        "counts", or "one-hot".
    start : function
        The output whose distribution has a given mean.
    starts_even : bool
        Whether outputs start the same for all rows, their weights at 0: where the mean is exp of
        them, random ones would be wrong by orders of magnitude.
    """

    title: str
    domain: str
    start: Callable[[float], float]
    starts_even: bool = False


def _logit(mean: float) -> float:
    mean = min(max(mean, 0.001), 0.999)
    return math.log(mean / (1 - mean))


def _continuous_bernoulli_logit(mean: float) -> float:
    """The logit l with 1 / (1 - exp(-l)) - 1 / l = mean, by bisection; within 100 of 0."""
    low, high = -100.0, 100.0
    while high - low > 1e-9:
        logit = (low + high) / 2
        reached = 0.5
        if abs(logit) > 1e-6:
            reached = 1 / -math.expm1(-logit) - 1 / logit
        low, high = (logit, high) if reached < mean else (low, logit)
    return (low + high) / 2


def _log(mean: float) -> float:
    return math.log(max(mean, 0.001))


KINDS = {
    "bernoulli": Kind("Bernoulli", "unit", _logit),
    "gaussian": Kind("Gaussian", "real", float),
    "continuous_bernoulli": Kind("continuous Bernoulli", "unit", _continuous_bernoulli_logit),
    "poisson": Kind("Poisson", "counts", _log, starts_even=True),
    "categorical": Kind("categorical", "one-hot", _log),
}
CATEGORICAL, MIXED = "categorical", "mixed"
LIKELIHOODS = (*KINDS, MIXED)
"""Names of likelihoods: each kind alone, and blocks of several."""
WITH_BLOCKS = (CATEGORICAL, MIXED)
"""Those that must be told which columns belong together."""
