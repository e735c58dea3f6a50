"""Activations and their gradients, element by element."""

import numpy as np
from numba import prange

from ..machine.compilation import device_function, parallel_kernel
from ..machine.kinds import Pointer, Record, Word
from ..machine.launching import launch
from ..machine.memory import lane_count, load_some, pointer, store_some
from ..maths.activations import ACTIVATIONS, activate, activation_slope
from .arguments import checked, whole_number

_BLOCK = 4096  # elements per parallel task; a multiple of every vector width


@device_function
def _forward(out: Pointer, x: Pointer, first: Word, last: Word, activation: Word) -> None:
    for e in range(first, last, lane_count(out)):
        value = activate(load_some(x, e, last - e), activation)
        store_some(out, e, value, last - e)


@device_function
def _backward(
    dx: Pointer, dy: Pointer, y: Pointer, first: Word, last: Word, activation: Word
) -> None:
    for e in range(first, last, lane_count(dx)):
        slope = activation_slope(load_some(y, e, last - e), activation)
        value = load_some(dy, e, last - e) * slope
        store_some(dx, e, value, last - e)


@parallel_kernel
def _activation_forward(out: Record, x: Record, activation: Word) -> None:
    for task in prange((x.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        _forward(pointer(out), pointer(x), first, min(first + _BLOCK, x.size), activation)


@parallel_kernel
def _activation_backward(dx: Record, dy: Record, y: Record, activation: Word) -> None:
    for task in prange((y.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        last = min(first + _BLOCK, y.size)
        _backward(pointer(dx), pointer(dy), pointer(y), first, last, activation)


def activation_code(value: object) -> int:
    """Return a code of `ACTIVATIONS`, or raise a TypeError or ValueError."""
    return whole_number(value, "activation", 0, len(ACTIVATIONS) - 1)


def activation_forward(out: np.ndarray, x: np.ndarray, activation: int) -> None:
    """out = activation(x), element by element.

    Parameters
    ----------
    out, x : ndarray, C-contiguous, equal shapes, float32 or float64
    activation : int
        A code of `ACTIVATIONS`; leaky ReLU has slope 0.01.
    """
    code = activation_code(activation)
    arrays = checked("* *", 1, out=out, x=x)
    launch(_activation_forward, *(array.reshape(-1) for array in arrays), code)


def activation_backward(dx: np.ndarray, dy: np.ndarray, y: np.ndarray, activation: int) -> None:
    """dx = dy * activation'(x), from the activation's output y.

    Parameters
    ----------
    dx, dy, y : ndarray, C-contiguous, equal shapes, float32 or float64
    activation : int
        A code of `ACTIVATIONS`; at a kink (0) the slope is that of the left side.
    """
    code = activation_code(activation)
    arrays = checked("* * *", 1, dx=dx, dy=dy, y=y)
    launch(_activation_backward, *(array.reshape(-1) for array in arrays), code)
