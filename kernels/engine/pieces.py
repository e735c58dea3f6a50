"""Pieces: a long step as several calls, between which whoever waits for it gets a turn.

What changes parameters, totals or counts is in the last piece, with the rest of the program from
TOTALS on; so a step that is given up before has changed nothing.
"""

import math
from typing import NamedTuple

import numpy as np

from .records import TOTALS

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
    work = program[:end]
    n_elements = work["n_in"] + work["n_out"] + work["groups"]["stride"] + _PADDING
    per_row = 2.0 * work["n_in"] * work["n_out"] + _FLOP_PER_ELEMENT * n_elements
    flop = n_rows * work["repeat"] * per_row
    if flop.sum() <= flop_per_call:
        return [Piece(program)]
    pieces: list[Piece] = []
    first = 0
    while first < end:
        sums = np.cumsum(flop[first:])
        n_regions = max(1, int(np.searchsorted(sums, flop_per_call, side="right")))
        n_parts = math.ceil(sums[n_regions - 1] / flop_per_call)
        regions = program[first : first + n_regions]
        pieces += [Piece(regions, part, n_parts, is_last=False) for part in range(n_parts)]
        first += n_regions
    return [*pieces, Piece(program[end:])]
