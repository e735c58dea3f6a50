"""Pieces: a long step as several calls, between which whoever waits for it gets a turn.

What changes parameters, totals or counts is in the last piece, with the rest of the program from
TOTALS on; so a step that is given up before has changed nothing.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..machine.isa import panel_width
from .layout import is_large
from .records import BACKWARD_WEIGHT, TOTALS

_FLOP_PER_ELEMENT = 300
"""Operations of a product that take as long as gathering, drawing or comparing a number, or as its
first place in memory."""
_PADDING = 100
"""Elements that each row of a region has at least, pads of its matrices."""


class Piece(NamedTuple):
    """What one call does of a step: of each region of a program the tasks of a part.

    Attributes
    ----------
    program : ndarray of REGION
    part, n_parts : int
    is_last : bool
        Whether it ends the step.
    """

    program: np.ndarray
    part: int = 0
    n_parts: int = 1
    is_last: bool = True


def divide(program: np.ndarray, n_rows: int, flop_per_call: float) -> list[Piece]:
    """Return the pieces of a program that stores its gradient, for a batch of `n_rows` rows.

    Each but the last is some regions, or a part of one, of `flop_per_call` operations at most. A
    program that has no more is one piece.
    """
    end = int(np.flatnonzero(program["kind"] == TOTALS)[0])
    flop = _flop(program[:end], n_rows)
    if flop.sum() <= flop_per_call:
        return [Piece(program)]
    return [*_divided(program[:end], flop, flop_per_call), Piece(program[end:])]


def divide_by_layers(program: np.ndarray, n_rows: int, flop_per_call: float) -> list[list[Piece]]:
    """Return the pieces of a program that stores its gradient, up to that of each large layer's
    weights, and of the rest (see `large_layers`)."""
    found, first = [], 0
    for end in _ends_of_large(program):
        regions = program[first:end]
        found.append(list(_divided(regions, _flop(regions, n_rows), flop_per_call)))
        first = end
    return [*found, divide(program[first:], n_rows, flop_per_call)]


def large_layers(program: np.ndarray, dtype: np.dtype) -> list[slice]:
    """Return the elements of each large layer, weights and biases, in the order in which a program
    stores their gradient."""
    found, width = [], panel_width(dtype.itemsize)
    for end in _ends_of_large(program):
        region = program[end - 1]
        n_panels = -(-int(region["n_out"]) // width)
        found.append(slice(int(region["weight"]), int(region["bias"]) + n_panels * width))
    return found


def _ends_of_large(program: np.ndarray) -> list[int]:
    """Where the regions end that are the gradients of large layers' weights."""
    places = np.flatnonzero(program["kind"] == BACKWARD_WEIGHT)
    return [int(place) + 1 for place in places if is_large(program[place])]


def _flop(regions: np.ndarray, n_rows: int) -> np.ndarray:
    """How many operations regions are about."""
    n_elements = regions["n_in"] + regions["n_out"] + regions["groups"]["stride"] + _PADDING
    per_row = 2.0 * regions["n_in"] * regions["n_out"] + _FLOP_PER_ELEMENT * n_elements
    return n_rows * regions["repeat"] * per_row


def _divided(regions: np.ndarray, flop: np.ndarray, flop_per_call: float) -> Iterator[Piece]:
    """Yield regions, or parts of one, of so many operations at most."""
    first = 0
    while first < len(regions):
        sums = np.cumsum(flop[first:])
        n_regions = max(1, int(np.searchsorted(sums, flop_per_call, side="right")))
        n_parts = max(1, math.ceil(sums[n_regions - 1] / flop_per_call))
        for part in range(n_parts):
            yield Piece(regions[first : first + n_regions], part, n_parts, is_last=False)
        first += n_regions
