"""Handwriting-like digits, drawn: stroke skeletons under random slant, width, curvature and pen."""

import operator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastvae import checks
from fastvae.data import skeletons
from fastvae.data.strokes import POINTS_PER_SPAN, draw_strokes
from fastvae.kernels import STREAM_DIGITS, normal, uniform
from fastvae.kernels.machine.launching import launch

SIDE = 28
"""Height and width of an image, pixels."""

TEST_FIRST = 1 << 40
"""Index of the first test image of `Dataset("synthetic_digits")`: no training image has it."""

_DISTRIBUTIONS = {
    "slant": (0.2, 0.22, -0.4, 0.8),
    "rotation": (0.0, 0.08, -0.3, 0.3),
    "width": (1.06, 0.2, 0.6, 1.6),
    "scale": (20.2, 0.4, 19.0, 21.0),
    "curvature": (0.54, 0.06, 0.35, 0.7),
    "bow": (0.0, 0.05, -0.15, 0.15),
    "balance": (0.0, 0.2, -0.5, 0.5),
    "flare": (0.0, 0.2, -0.5, 0.5),
    "wave": (0.0, 0.02, -0.06, 0.06),
    "pen": (1.28, 0.38, 0.65, 2.4),
    "pressure": (0.0, 0.25, -0.7, 0.7),
}
"""Mean, standard deviation and bounds of each normal factor: so chosen that the mean intensity,
the part of empty pixels and the extent of the digits come near MNIST's."""

FACTORS = ("variant", *_DISTRIBUTIONS)
"""The generating factors of an image, fields of `SyntheticDigits.factors`."""

_FACTOR_TYPE = np.dtype([("variant", np.int32)] + [(name, np.float32) for name in _DISTRIBUTIONS])

_JITTER = 0.018
"""Standard deviation of a point's own displacement, in heights of the digit."""

_UNSTEADY = 0.07
"""Relative standard deviation of the pen's radius from point to point."""

_THINNEST = 0.6
"""Least radius of the pen, pixels."""

_BLOCK = 1024
"""Images drawn at a time. A block's number is the step of its random numbers, and a block is
planned whole even where part of it is wanted, so that an image never depends on how many are."""


class SyntheticDigits(NamedTuple):
    """Images with what they were made from.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, 784)
        Rows of pixels, 0 is paper and 255 ink.
    labels : ndarray of int64, shape (n,)
        The digit, 0 to 9.
    factors : structured ndarray, shape (n,)
        With the fields `FACTORS`, the first int32, the others float32:

        - variant: number of the skeleton within its class;
        - slant: shear, x per y, positive to the right;
        - rotation: radians, positive clockwise;
        - width: stretch of x;
        - scale: longer side of the ink, pixels;
        - curvature: length of the spline's tangents, 1/2 in Catmull and Rom's;
        - bow, wave: bend of the whole digit in one and in two arcs, in its heights;
        - balance: height of the upper half against the lower; positive moves the waist down;
        - flare: width at the foot against the head;
        - pen: radius, pixels;
        - pressure: change of the radius from first to last point, relative.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    factors: npt.NDArray[np.void]


def synthetic_digits(n: int, seed: int = 0, *, first: int = 0) -> SyntheticDigits:
    """Draw handwriting-like 28 x 28 digits.

    Each image is a skeleton of strokes, chosen for its class, whose points are jittered, bent,
    sheared, rotated and stretched at random; a smooth curve through them is drawn with a pen of
    random radius, anti-aliased, fitted into a box of about 20 x 20 pixels and centred by mass,
    as MNIST's images are. Image i of a seed depends on (seed, i) alone: the first images of a
    longer run are those of a shorter one, for every number of threads.

    Parameters
    ----------
    n : int
        Number of images.
    seed : int
        From 0 to 2^64 - 1.
    first : int
        Index of the first image; ranges that do not overlap hold different images.

    Returns
    -------
    SyntheticDigits

    Raises
    ------
    ValueError
        Where `n` or `first` is negative or `seed` out of range.
    TypeError
        Where one of them is not an integer.
    """
    n, first, seed = operator.index(n), operator.index(first), checks.seed(seed)
    if n < 0 or first < 0:
        raise ValueError(f"n and first must not be negative; got n={n}, first={first}")
    images = np.empty((n, SIDE * SIDE), np.uint8)
    labels = np.empty(n, np.int64)
    factors = np.empty(n, _FACTOR_TYPE)
    alphabet = skeletons.load()
    n_points = alphabet.pen.shape[1]
    path = np.empty((_BLOCK, n_points * POINTS_PER_SPAN, 4))
    coverage = np.empty((_BLOCK, SIDE * SIDE))
    for block in range(first // _BLOCK, -(-(first + n) // _BLOCK)):
        plan = _plan(alphabet, seed, block)
        start, stop = max(first, block * _BLOCK), min(first + n, (block + 1) * _BLOCK)
        inside = slice(start - block * _BLOCK, stop - block * _BLOCK)
        out = slice(start - first, stop - first)
        labels[out] = plan.labels[inside]
        factors[out] = plan.factors[inside]
        launch(
            draw_strokes,
            images[out],
            plan.control[inside],
            plan.pen[inside],
            plan.factors["curvature"][inside].astype(np.float64),
            plan.factors["scale"][inside].astype(np.float64),
            plan.radius[inside],
            path,
            coverage,
        )
    return SyntheticDigits(images, labels, factors)


class _Plan(NamedTuple):
    """What the images of a block are drawn from."""

    labels: npt.NDArray[np.int64]
    factors: npt.NDArray[np.void]
    control: npt.NDArray[np.float64]
    pen: npt.NDArray[np.uint8]
    radius: npt.NDArray[np.float64]


def _plan(alphabet: skeletons.Skeletons, seed: int, block: int) -> _Plan:
    """Draw labels, factors, control points and radii of all images of a block."""
    n_points = alphabet.pen.shape[1]
    chance = np.empty((_BLOCK, 2))
    uniform(chance, seed, STREAM_DIGITS, 2 * block)
    # float32, for which training compiles the kernel anyway.
    noise = np.empty((_BLOCK, len(_DISTRIBUTIONS) + 3 * n_points), np.float32)
    normal(noise, seed, STREAM_DIGITS, 2 * block + 1)
    of_factors, of_points, of_radius = np.split(
        noise, [len(_DISTRIBUTIONS), len(_DISTRIBUTIONS) + 2 * n_points], axis=1
    )

    labels = (10 * chance[:, 0]).astype(np.int64)
    skeleton = (chance[:, 1:] > alphabet.cumulative[labels]).sum(axis=1)
    factors = np.empty(_BLOCK, _FACTOR_TYPE)
    factors["variant"] = skeleton - np.searchsorted(alphabet.digit, labels)
    for column, (name, (mean, deviation, low, high)) in enumerate(_DISTRIBUTIONS.items()):
        factors[name] = np.clip(mean + deviation * of_factors[:, column], low, high)

    jitter = _JITTER * of_points.reshape(_BLOCK, n_points, 2)
    # Neighbours share half of their displacement: independent ones make curves look angular.
    jitter[:, 1:] += jitter[:, :-1].copy()
    control = _deform(alphabet.points[skeleton] + jitter, factors)
    pressure = factors["pressure"][:, None] * np.linspace(-0.5, 0.5, n_points)
    radius = factors["pen"][:, None] * (1 + pressure + _UNSTEADY * of_radius)
    return _Plan(labels, factors, control, alphabet.pen[skeleton], np.maximum(radius, _THINNEST))


def _deform(
    points: npt.NDArray[np.float64], factors: npt.NDArray[np.void]
) -> npt.NDArray[np.float64]:
    """Apply the factors that move points: (n, C, 2) points in the unit box, (n,) factors."""
    f = {name: factors[name][:, None].astype(np.float64) for name in _DISTRIBUTIONS}
    x, y = points[..., 0] - 0.5, points[..., 1]
    y = y + f["balance"] * np.sin(np.pi * y) / np.pi
    x = x * f["width"] * (1 + f["flare"] * (y - 0.5))
    x = x + f["bow"] * np.sin(np.pi * y) + f["wave"] * np.sin(2 * np.pi * y)
    y = y - 0.5
    x = x - f["slant"] * y
    cos, sin = np.cos(f["rotation"]), np.sin(f["rotation"])
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
