"""Parameter updates of plain arrays: SGD with momentum, RMSprop and Adam."""

import numpy as np

from ..machine.isa import LINE_FLOATS
from ..maths.optimizers import ADAM, RMSPROP, SGD
from .arguments import checked, number_between, whole_number
from .programs import run_update


def _update(
    optimizer: int, arrays: list[np.ndarray], hyper: list[float], rate: float, step: int
) -> None:
    """Update arrays [param, moment1, moment2, grad] of any length in place."""
    size = arrays[0].size
    whole = size - size % LINE_FLOATS  # a multiple of every vector width
    if whole:
        run_update([a[:whole] for a in arrays], optimizer, hyper, rate, step)
    if whole == size:
        return
    padded = [np.zeros(LINE_FLOATS, a.dtype) for a in arrays]
    for end, a in zip(padded, arrays, strict=True):
        end[: size - whole] = a[whole:]
    run_update(padded, optimizer, hyper, rate, step)
    for end, a in zip(padded[:3], arrays[:3], strict=True):
        a[whole:] = end[: size - whole]


def _rate(learning_rate: float) -> float:
    return number_between(learning_rate, "learning_rate", 0.0)


def _epsilon(eps: float, dtype: np.dtype) -> float:
    """Check eps, which must not be flushed to 0: a gradient that stays 0 would become 0 / 0."""
    return number_between(eps, "eps", float(np.finfo(dtype).tiny))


def sgd_update(
    param: np.ndarray, grad: np.ndarray, velocity: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """Stochastic gradient descent with momentum: v = momentum v + g; p = p - rate v.

    Parameters
    ----------
    param, velocity : ndarray, shape (n,), float32 or float64
        Updated in place.
    grad : ndarray, shape (n,)
    learning_rate : float
        Finite, at least 0.
    momentum : float
        In [0, 1).
    """
    param, velocity, grad = checked("N N N", 2, param=param, velocity=velocity, grad=grad)
    hyper = [number_between(momentum, "momentum", 0.0, 1.0), 0.0, 0.0]
    unused = np.zeros_like(param)
    _update(SGD, [param, velocity, unused, grad], hyper, _rate(learning_rate), 1)


def rmsprop_update(
    param: np.ndarray,
    grad: np.ndarray,
    square: np.ndarray,
    learning_rate: float,
    decay: float,
    eps: float,
) -> None:
    """RMSprop: s = decay s + (1 - decay) g^2; p = p - rate g / (sqrt(s) + eps).

    Source: Tieleman & Hinton (2012), Neural networks for machine learning, lecture 6.5.

    Parameters
    ----------
    param, square : ndarray, shape (n,), float32 or float64
        Updated in place.
    grad : ndarray, shape (n,)
    learning_rate : float
        Finite, at least 0.
    decay : float
        In [0, 1).
    eps : float
        At least the smallest normal number of the dtype.
    """
    param, square, grad = checked("N N N", 2, param=param, square=square, grad=grad)
    hyper = [number_between(decay, "decay", 0.0, 1.0), _epsilon(eps, param.dtype), 0.0]
    unused = np.zeros_like(param)
    _update(RMSPROP, [param, unused, square, grad], hyper, _rate(learning_rate), 1)


def adam_update(
    param: np.ndarray,
    grad: np.ndarray,
    moment1: np.ndarray,
    moment2: np.ndarray,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    param, moment1, moment2 : ndarray, shape (n,), float32 or float64
        Updated in place.
    grad : ndarray, shape (n,)
    step : int
        Number of this update, from 1; it sets the bias corrections.
    learning_rate : float
        Finite, at least 0.
    beta1, beta2 : float
        In [0, 1).
    eps : float
        At least the smallest normal number of the dtype.
    """
    arrays = checked("N N N N", 3, param=param, moment1=moment1, moment2=moment2, grad=grad)
    hyper = [
        number_between(beta1, "beta1", 0.0, 1.0),
        number_between(beta2, "beta2", 0.0, 1.0),
        _epsilon(eps, param.dtype),
    ]
    _update(ADAM, arrays, hyper, _rate(learning_rate), whole_number(step, "step", 1, 2**62))
