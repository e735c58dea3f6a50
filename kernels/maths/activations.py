"""Activations and their slopes, chosen at run time by the codes of `ACTIVATIONS`."""

from ..machine.compilation import device_function
from ..machine.kinds import Word
from ..machine.vectors import Vector, constant, select
from . import functions

IDENTITY, RELU, LEAKY_RELU, TANH, SIGMOID, SOFTPLUS = range(6)
ACTIVATIONS = {
    "identity": IDENTITY,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "tanh": TANH,
    "sigmoid": SIGMOID,
    "softplus": SOFTPLUS,
}

LEAKY_SLOPE = 0.01


@device_function
def activate(x: Vector, activation: Word) -> Vector:
    """activation(x) of one vector."""
    if activation == RELU:
        return functions.rectify(x)
    if activation == LEAKY_RELU:
        return select(x < constant(x, 0.0), x * constant(x, LEAKY_SLOPE), x)
    if activation == TANH:
        return functions.tanh(x)
    if activation == SIGMOID:
        return functions.sigmoid(x)
    if activation == SOFTPLUS:
        return functions.softplus(x)
    return x


@device_function
def activation_slope(y: Vector, activation: Word) -> Vector:
    """activation'(x) of one vector, from y = activation(x); at a kink the left slope.

    NaN gives NaN, also where the slope is piecewise constant.
    """
    one = constant(y, 1.0)
    zero = constant(y, 0.0)
    if activation == RELU:
        return select(y > zero, one, select(y == y, zero, y))
    if activation == LEAKY_RELU:
        return select(y > zero, one, select(y == y, constant(y, LEAKY_SLOPE), y))
    if activation == TANH:
        return one - y * y
    if activation == SIGMOID:
        return y * (one - y)
    if activation == SOFTPLUS:
        return one - functions.exp(functions.negative(y))
    return one
