"""Pen strokes to pixels: smooth curves through points, drawn with a round pen, anti-aliased.

Letters: N images, C control points, P points of a curve, S = side * side pixels.
"""

import math
from typing import Any

import numpy.typing as npt

from ..kernels.machine.compilation import device_function, parallel_kernel
from ..kernels.machine.launching import prange

Array = npt.NDArray[Any]

PEN_DOWN = 1
"""Flag of a control point: the curve goes on to the next point."""
PEN_CORNER = 2
"""Flag of a control point: the curve may change its direction here at once."""

POINTS_PER_SPAN = 8
"""Points of the drawn polyline from one control point to the next."""

_RIM = 1.1
"""Width of the grey rim of a stroke, in pixels."""


@device_function
def _trace(path: Array, control: Array, pen: Array, tangent: float, radius: Array) -> int:
    """Turn control points into rows (x, y, radius, pen down) of `path`; return how many."""
    count = 0
    last = pen.shape[0] - 1
    for c in range(last + 1):
        down = c < last and (pen[c] & PEN_DOWN) != 0
        after_pen_up = c == 0 or (pen[c - 1] & PEN_DOWN) == 0
        if not down:
            if not after_pen_up:
                path[count, 0], path[count, 1] = control[c, 0], control[c, 1]
                path[count, 2], path[count, 3] = radius[c], 0.0
                count += 1
            continue
        starts = after_pen_up or (pen[c] & PEN_CORNER) != 0
        ends = (pen[c + 1] & PEN_DOWN) == 0 or (pen[c + 1] & PEN_CORNER) != 0
        for s in range(POINTS_PER_SPAN):
            t = s / POINTS_PER_SPAN
            for axis in range(2):
                p1, p2 = control[c, axis], control[c + 1, axis]
                m1 = 2.0 * tangent * (p2 - p1)
                m2 = m1
                if not starts:
                    m1 = tangent * (p2 - control[c - 1, axis])
                if not ends:
                    m2 = tangent * (control[c + 2, axis] - p1)
                rest = 1.0 - t
                path[count, axis] = (
                    (1.0 + 2.0 * t) * rest * rest * p1
                    + t * rest * rest * m1
                    + t * t * (3.0 - 2.0 * t) * p2
                    - t * t * rest * m2
                )
            path[count, 2] = radius[c] + t * (radius[c + 1] - radius[c])
            path[count, 3] = 1.0
            count += 1
    return count


@device_function
def _fit(path: Array, count: int, size: float, side: int) -> None:
    """Scale a path so that its ink's longer side measures `size`; put its box in the middle."""
    low_x, high_x, low_y, high_y = path[0, 0], path[0, 0], path[0, 1], path[0, 1]
    widest = 0.0
    for p in range(count):
        low_x, high_x = min(low_x, path[p, 0]), max(high_x, path[p, 0])
        low_y, high_y = min(low_y, path[p, 1]), max(high_y, path[p, 1])
        widest = max(widest, path[p, 2])
    scale = (size - 2.0 * widest - _RIM) / max(high_x - low_x, high_y - low_y)
    middle = side // 2
    for p in range(count):
        path[p, 0] = middle + scale * (path[p, 0] - 0.5 * (low_x + high_x))
        path[p, 1] = middle + scale * (path[p, 1] - 0.5 * (low_y + high_y))


@device_function
def _centre(path: Array, count: int, coverage: Array, side: int) -> None:
    """Shift a path so that the centre of mass of its coverage falls on pixel side // 2."""
    mass, moment_x, moment_y = 0.0, 0.0, 0.0
    for row in range(side):
        for column in range(side):
            ink = coverage[row * side + column]
            mass += ink
            moment_x += ink * column
            moment_y += ink * row
    middle = side // 2
    for p in range(count):
        path[p, 0] += middle - moment_x / mass
        path[p, 1] += middle - moment_y / mass


@device_function
def _cover(coverage: Array, path: Array, count: int, side: int) -> None:
    """Write the part of each pixel, 0 to 1, that the pen covers along a path."""
    coverage[:] = 0.0
    for p in range(count - 1):
        if path[p, 3] == 0.0:
            continue
        x, y, r = path[p, 0], path[p, 1], path[p, 2]
        dx, dy, dr = path[p + 1, 0] - x, path[p + 1, 1] - y, path[p + 1, 2] - r
        per_length = 1.0 / max(dx * dx + dy * dy, 1e-12)
        reach = max(r, r + dr) + 0.5 * _RIM
        first_row = max(0, math.ceil(min(y, y + dy) - reach))
        last_row = min(side - 1, math.floor(max(y, y + dy) + reach))
        first_column = max(0, math.ceil(min(x, x + dx) - reach))
        last_column = min(side - 1, math.floor(max(x, x + dx) + reach))
        for row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                t = ((column - x) * dx + (row - y) * dy) * per_length
                t = min(max(t, 0.0), 1.0)
                ex, ey = column - x - t * dx, row - y - t * dy
                inside = r + t * dr - math.sqrt(ex * ex + ey * ey)
                part = min(max(0.5 + inside / _RIM, 0.0), 1.0)
                k = row * side + column
                coverage[k] = max(coverage[k], part)


@parallel_kernel
def draw_strokes(
    images: Array,
    control: Array,
    pen: Array,
    tangent: Array,
    size: Array,
    radius: Array,
    path: Array,
    coverage: Array,
) -> None:
    """Draw each image's strokes, fitted into a box and centred by mass as MNIST's digits are.

    Between control points p1 and p2 runs the cubic Hermite curve with the tangents
    ``t (p2 - p0)`` and ``t (p3 - p1)``, t = 1/2 being Catmull and Rom's spline [1]_; at ends and
    corners the tangent is ``2t`` times the only chord. The curve is scaled so that its ink's
    longer side measures ``size`` pixels and shifted so that the centre of mass of its pixels
    falls on the pixel side // 2 [2]_. A pixel's value falls linearly from 255 to 0 over a rim
    around the pen's outline.

    Parameters
    ----------
    images : (N, S) uint8, written; S a square number
    control : (N, C, 2) float64, x and y in any unit; at least one stroke that is more than a dot
    pen : (N, C) uint8, sums of `PEN_DOWN` and `PEN_CORNER`
    tangent : (N,) float64, the factor t
    size : (N,) float64, pixels
    radius : (N, C) float64, the pen's radius at each control point, pixels
    path : (N, P, 4) float64, workspace; P = C `POINTS_PER_SPAN`
    coverage : (N, S) float64, workspace

    Notes
    -----
    Parallel over images: one thread owns an image, so the result does not depend on the number of
    threads.

    References
    ----------
    .. [1] E. Catmull and R. Rom, "A class of local interpolating splines", Computer Aided
       Geometric Design (1974) 317-326.
    .. [2] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
       document recognition", Proc. IEEE 86 (1998) section III.A.
    """
    side = int(math.sqrt(images.shape[1]) + 0.5)
    for n in prange(images.shape[0]):
        count = _trace(path[n], control[n], pen[n], tangent[n], radius[n])
        _fit(path[n], count, size[n], side)
        _cover(coverage[n], path[n], count, side)
        # Strokes cross: the mass is known only when they are drawn.
        _centre(path[n], count, coverage[n], side)
        _cover(coverage[n], path[n], count, side)
        for k in range(images.shape[1]):
            images[n, k] = int(255.0 * coverage[n, k] + 0.5)
