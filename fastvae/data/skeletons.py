"""Skeletons of handwritten digits: for each class the ways to write it, as strokes of points.

In the notation below a point is `x,y` in a box of 100 x 100, x to the right and y downwards; a
stroke is a smooth curve through its points; `^` after a point makes it a corner; `/` lifts the
pen. The number before each skeleton is its relative frequency within the class.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastvae.data.strokes import PEN_CORNER, PEN_DOWN

_DIGITS: tuple[tuple[tuple[int, str], ...], ...] = (
    (  # 0: closed, with crossing ends, overlapping
        (5, "56,3 34,10 18,32 14,60 25,85 46,97 67,90 82,68 86,42 77,17 58,4 42,7"),
        (3, "40,9 22,24 13,48 17,75 36,95 60,95 79,79 87,52 81,26 65,7 46,3 33,14"),
        (
            2,
            "66,8 44,3 25,16 15,42 18,70 34,92 55,97 74,83 85,58 84,32 70,11 50,4 36,9",
        ),
    ),
    (  # 1: bar, with flag, with flag and foot
        (11, "52,2 51,34 49,66 48,98"),
        (2, "34,20 54,2^ 53,34 51,66 50,98"),
        (1, "30,24 52,2^ 51,50 50,97 / 26,97 50,96 76,96"),
    ),
    (  # 2: loop at the foot, corner at the foot, wide swan
        (4, "16,26 32,6 58,4 72,22 64,48 40,74 18,90 14,80 30,76 56,90 86,92"),
        (4, "18,22 38,4 64,8 72,28 60,54 38,76 16,95^ 48,93 84,92"),
        (2, "12,32 26,8 54,2 74,16 72,40 50,66 22,86 12,94 30,88 58,94 90,84"),
    ),
    (  # 3: rounded, flat top, waist with a small loop
        (5, "20,14 44,3 70,12 70,32 46,46^ 74,56 82,78 58,96 30,94 14,84"),
        (2, "20,6 48,5 78,4^ 62,22 44,42^ 72,50 82,72 62,94 34,96 14,86"),
        (3, "22,18 42,4 66,8 72,26 56,42 40,47 60,50 80,66 72,88 44,98 16,88"),
    ),
    (  # 4: open, closed, in one line with a loop-free turn
        (6, "24,6 20,30 18,50^ 46,52 80,46 / 76,4 72,36 68,68 64,98"),
        (3, "64,3 38,30 12,62^ 48,62 88,58 / 66,4 65,40 63,70 62,98"),
        (2, "28,4 18,28 24,48 48,52 70,40 78,8^ 74,40 68,70 62,98"),
    ),
    (  # 5: neck and hat apart, in one line, round
        (5, "36,8 32,26 28,44^ 52,38 76,52 78,76 56,95 28,95 12,84 / 36,8 60,7 84,3"),
        (3, "82,5 58,6 36,8^ 31,26 27,46^ 50,40 72,50 76,74 54,95 26,96 12,84"),
        (2, "78,4 52,4 38,12 30,30 34,44 58,50 72,66 64,88 38,97 14,88"),
    ),
    (  # 6: open stem with a loop, leaning, tall
        (5, "66,3 42,22 24,52 22,78 38,96 62,92 72,74 60,58 40,62 26,80"),
        (3, "56,2 36,26 26,56 28,82 46,97 68,86 72,66 56,54 38,64 28,78"),
        (2, "78,8 50,14 28,38 18,68 30,93 56,96 74,80 66,60 42,60 22,76"),
    ),
    (  # 7: plain, with hook, with bar, curved
        (5, "14,12 46,10 82,8^ 66,38 52,68 44,98"),
        (2, "14,26 16,10^ 46,10 82,8^ 64,40 52,70 46,98"),
        (2, "14,10 46,10 82,7^ 64,40 50,70 42,98 / 28,54 50,52 76,50"),
        (2, "12,20 28,8 54,12 80,10 78,26 62,48 50,74 46,98"),
    ),
    (  # 8: from the top right, from the middle, two circles
        (
            5,
            "72,14 50,2 30,14 32,34 54,50 74,68 70,90 48,98 28,86 32,64 54,46 74,28 72,10",
        ),
        (
            3,
            "52,48 32,34 30,14 50,2 70,12 66,34 46,50 26,70 30,92 52,98 74,86 70,62 50,46",
        ),
        (2, "66,6 42,4 30,22 44,42 66,58 70,84 48,98 28,84 34,58 58,42 72,22 62,4"),
    ),
    (  # 9: straight stem, curved stem, loop with hook
        (5, "72,18 52,4 28,14 22,36 40,50 62,42 74,18^ 72,46 68,72 64,98"),
        (3, "70,14 44,4 24,22 30,44 52,48 70,30 72,12 74,40 70,70 56,98"),
        (2, "72,22 54,3 30,10 22,32 38,48 60,40 72,18^ 74,48 68,78 48,96 24,90"),
    ),
)


class Skeletons(NamedTuple):
    """All skeletons as arrays: V skeletons of at most C points.

    Attributes
    ----------
    points : (V, C, 2) float64
        x and y in the unit box; a skeleton's surplus points are 0.
    pen : (V, C) uint8
        Flags of each point, as `fastvae.kernels.draw_strokes` reads them.
    digit : (V,) int64
        The class that each skeleton belongs to.
    cumulative : (10, V) float64
        For each class the running sum of its skeletons' probabilities.
    """

    points: npt.NDArray[np.float64]
    pen: npt.NDArray[np.uint8]
    digit: npt.NDArray[np.int64]
    cumulative: npt.NDArray[np.float64]


def load() -> Skeletons:
    """Return the skeletons of all ten digits."""
    parsed = [
        (digit, weight, *_parse(strokes))
        for digit, variants in enumerate(_DIGITS)
        for weight, strokes in variants
    ]
    longest = max(len(pen) for *_, pen in parsed)
    points = np.zeros((len(parsed), longest, 2))
    flags = np.zeros((len(parsed), longest), np.uint8)
    weights = np.zeros((10, len(parsed)))
    for v, (digit, weight, path, pen) in enumerate(parsed):
        points[v, : len(path)] = path
        flags[v, : len(pen)] = pen
        weights[digit, v] = weight
    cumulative = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    return Skeletons(points, flags, np.array([digit for digit, *_ in parsed]), cumulative)


def _parse(strokes: str) -> tuple[list[tuple[float, float]], list[int]]:
    """Return the points of a skeleton in the unit box, and the pen's flags at each."""
    points: list[tuple[float, float]] = []
    pen: list[int] = []
    for stroke in strokes.split("/"):
        for word in stroke.split():
            x, y = word.removesuffix("^").split(",")
            points.append((int(x) / 100, int(y) / 100))
            pen.append(PEN_DOWN | (PEN_CORNER if word.endswith("^") else 0))
        pen[-1] = 0
    return points, pen
