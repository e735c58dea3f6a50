"""Activations and their slopes, chosen at run time by the codes of `ACTIVATIONS`."""

from __future__ import annotations

from typing import Any

from ..machine.compilation import device_function
from ..machine.vectors import constant, select
from . import functions

ACTIVATIONS = {
    "identity": 0,
    "relu": 1,
    "leaky_relu": 2,
    "tanh": 3,
    "sigmoid": 4,
    "softplus": 5,
}

LEAKY_SLOPE = 0.01


@device_function
def activate(x: Any, activation: Any) -> Any:
    """activation(x) of one vector."""
    if activation == 1:
        return functions.rectify(x)
    if activation == 2:
        return select(x < constant(x, 0.0), x * constant(x, LEAKY_SLOPE), x)
    if activation == 3:
        return functions.tanh(x)
    if activation == 4:
        return functions.sigmoid(x)
    if activation == 5:
        return functions.softplus(x)
    return x


@device_function
def activation_slope(y: Any, activation: Any) -> Any:
    """activation'(x) of one vector, from y = activation(x); at a kink the left slope.

    NaN gives NaN, also where the slope is piecewise constant.
    """
    one = constant(y, 1.0)
    zero = constant(y, 0.0)
    if activation == 1:
        return select(y > zero, one, select(y == y, zero, y))
    if activation == 2:
        return select(y > zero, one, select(y == y, constant(y, LEAKY_SLOPE), y))
    if activation == 3:
        return one - y * y
    if activation == 4:
        return y * (one - y)
    if activation == 5:
        return one - functions.exp(functions.negative(y))
    return one
