"""Optimisers that `VAE.fit` takes: their settings; the arithmetic lives in the kernels."""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.training.names import OptimizerName

_LEAST_EPS = float(np.finfo(np.float32).tiny)


class _Settings:
    """Settings that are given by name: a first argument may be meant as the learning rate.

    `eps` is added where something is divided by; the others are shares of what was, in [0, 1).
    """

    def __new__(cls, *values: Any, **named: Any) -> Any:
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if values or set(named) - set(known):
            given = [*map(repr, values), *(f"{name}={value!r}" for name, value in named.items())]
            near = "".join(checks.did_you_mean(name, known) for name in set(named) - set(known))
            raise TypeError(
                f"{cls.__name__} takes {', '.join(known)}, by name; got {', '.join(given)}{near}. "
                "The learning rate is an argument of fit: fit(..., learning_rate=1e-3)"
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            minimum, below = (_LEAST_EPS, math.inf) if name == "eps" else (0.0, 1.0)
            checks.number(value, name, minimum, below)

    @property
    def hyper(self) -> NDArray[np.float64]:
        """The settings as the kernels take them, shape (4,)."""
        hyper = np.zeros(4)
        hyper[: len(vars(self))] = list(vars(self).values())
        return hyper


@checks.public
@dataclass(frozen=True, kw_only=True)
class SGD(_Settings):
    """Stochastic gradient descent: v = momentum * v + g; p -= rate * v.

    Parameters
    ----------
    momentum : float
        In [0, 1); 0 is plain gradient descent.

    Attributes
    ----------
    name : str
        What `fit` takes for it: "sgd".

    References
    ----------
    Polyak (1964), "Some methods of speeding up the convergence of iteration methods", eq. 9;
    docs/theory.md, (33).
    """

    momentum: float = 0.0

    name: ClassVar[str] = "sgd"


@checks.public
@dataclass(frozen=True, kw_only=True)
class RMSprop(_Settings):
    """RMSprop: s = decay * s + (1 - decay) * g^2; p -= rate * g / (sqrt(s) + eps).

    Parameters
    ----------
    decay : float
        In [0, 1).
    eps : float
        At least 1.1754944e-38, the smallest normal float32: below it eps would count as 0, and
        0 / 0 would make a weight NaN whose gradient is 0.

    Attributes
    ----------
    name : str
        What `fit` takes for it: "rmsprop".

    References
    ----------
    Tieleman & Hinton (2012), "Neural Networks for Machine Learning", lecture 6.5; docs/theory.md,
    (33).
    """

    decay: float = 0.9
    eps: float = 1e-8

    name: ClassVar[str] = "rmsprop"


@checks.public
@dataclass(frozen=True, kw_only=True)
class Adam(_Settings):
    """Adam, with bias-corrected moments.

    Parameters
    ----------
    beta1, beta2 : float
        Decay of the first and second moment, in [0, 1).
    eps : float
        At least 1.1754944e-38, the smallest normal float32: below it eps would count as 0, and
        0 / 0 would make a weight NaN whose gradient is 0.

    Attributes
    ----------
    name : str
        What `fit` takes for it: "adam".

    References
    ----------
    Kingma & Ba (2015), "Adam: A Method for Stochastic Optimization", algorithm 1;
    docs/theory.md, (32).
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    name: ClassVar[str] = "adam"


Optimizer = SGD | RMSprop | Adam

_BY_NAME: dict[str, type[SGD] | type[RMSprop] | type[Adam]] = {
    kind.name: kind for kind in (SGD, RMSprop, Adam)
}


def resolve(optimizer: OptimizerName | Optimizer) -> Optimizer:
    """Return the optimiser that a name stands for, or `optimizer` itself.

    Raises
    ------
    TypeError
        If it is neither a name nor one of Adam, RMSprop, SGD.
    ValueError
        If the name is unknown; the known ones are listed.
    """
    if isinstance(optimizer, (SGD, RMSprop, Adam)):
        return optimizer
    if not isinstance(optimizer, str):
        hint = ": it is a class, give an object of it" if isinstance(optimizer, type) else ""
        raise TypeError(f"optimizer must be a name, Adam, RMSprop or SGD; got {optimizer!r}{hint}")
    return _BY_NAME[checks.choice(optimizer, _BY_NAME, "optimizer")]()
