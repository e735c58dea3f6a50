"""Activations and their gradients, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..machine.compilation import device_function, parallel_kernel
from ..machine.memory import get, lane_count, load, pointer, put, stack, store
from ..maths.activations import ACTIVATIONS, activate, activation_slope
from .arguments import checked, whole_number

_BLOCK = 4096  # elements per parallel task; a multiple of every vector width


@device_function
def _forward_block(out: Any, x: Any, first: Any, last: Any, activation: Any) -> None:
    source = pointer(x)
    target = pointer(out)
    buffer = stack(target, 16)
    count = lane_count(target)
    whole = last - (last - first) % count
    for e in range(first, whole, count):
        store(target, e, activate(load(source, e), activation))
    for e in range(whole, last):
        put(buffer, e - whole, get(source, e))
    store(buffer, 0, activate(load(buffer, 0), activation))
    for e in range(whole, last):
        put(target, e, get(buffer, e - whole))


@device_function
def _backward_block(dx: Any, dy: Any, y: Any, first: Any, last: Any, activation: Any) -> None:
    target = pointer(dx)
    buffer = stack(target, 32)
    count = lane_count(target)
    whole = last - (last - first) % count
    for e in range(first, whole, count):
        slope = activation_slope(load(pointer(y), e), activation)
        store(target, e, load(pointer(dy), e) * slope)
    for e in range(whole, last):
        put(buffer, e - whole, get(pointer(y), e))
        put(buffer, 16 + e - whole, get(pointer(dy), e))
    slope = activation_slope(load(buffer, 0), activation)
    store(buffer, 0, load(buffer, 16) * slope)
    for e in range(whole, last):
        put(target, e, get(buffer, e - whole))


@parallel_kernel
def _activation_forward(out: Any, x: Any, activation: Any) -> None:
    for task in prange((x.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        _forward_block(out, x, first, min(first + _BLOCK, x.size), activation)


@parallel_kernel
def _activation_backward(dx: Any, dy: Any, y: Any, activation: Any) -> None:
    for task in prange((y.size + _BLOCK - 1) // _BLOCK):
        first = np.int64(task) * _BLOCK
        _backward_block(dx, dy, y, first, min(first + _BLOCK, y.size), activation)


def activation_code(value: Any) -> int:
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
    _activation_forward(*(array.reshape(-1) for array in arrays), code)


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
    _activation_backward(*(array.reshape(-1) for array in arrays), code)
