"""Rows that are no images, drawn as profiles.

A profile is the line through a row's values, feature by feature from left to right.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from fastvae.checks.quoting import printable
from fastvae.plots.grid import Cells, Margins, bare, new_axes
from fastvae.plots.style import FRAME, INK, PAPER, VALIDATION, number

PROFILE = (60, 120)  # height and width of a profile's cell, in pixels as an image has them
_MOST_POINTS = 1200  # of a profile; of more features the extremes of their neighbourhoods are drawn
_MOST_NAMED = 16  # features
_MAX_NAME = 20
_THICK = 60  # of more features the lines are thinner
_MARKED = 20  # with so few features, their values are marked by dots
_ONE_SCALE = 10.0  # features whose ranges differ by more have a scale each

# Colour and style of the lines of a cell: of the original, and of its reconstruction.
LOOKS: tuple[tuple[str, Literal["-", "--"]], ...] = ((INK, "-"), (VALIDATION, "--"))


def draw_profiles(
    ax: Axes | None,
    groups: Sequence[np.ndarray],
    cells: Cells,
    margins: Margins,
    together: Sequence[np.ndarray] = (),
) -> Axes:
    """Draw profiles; of several groups of rows the i-th of each stands in the i-th cell."""
    if ax is None:
        ax = new_axes(cells, margins)
    corners = cells.corners()
    box = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (cells.width, cells.height)
    boxes = corners[:, None] + box
    ax.add_collection(
        PolyCollection(list(boxes), facecolors=PAPER, edgecolors=FRAME, linewidths=0.8)
    )
    thickness = 1.3 if groups[0].shape[1] <= _THICK else 0.7
    for group, rows in enumerate(_scaled(groups, together or groups)):
        lines = _lines(rows, corners, cells)
        colour, style = LOOKS[group]
        ax.add_collection(
            LineCollection(list(lines), colors=colour, linewidths=thickness, linestyles=style)
        )
        if rows.shape[1] <= _MARKED:
            dots = lines.reshape(-1, 2)
            ax.plot(*dots.T, ".", color=colour, markersize=4, linestyle="")
    height, width = cells.size
    ax.set(xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5))
    return bare(ax)


def profile_points(rows: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Points of profiles in pixels of a cell of their own, shape (n, n_points, 2).

    `together` are the rows that the scale of values is to hold for.
    """
    (shares,) = _scaled([rows], [together])
    one = Cells(1, 1, 1, *PROFILE, (0, 0))
    return _lines(shares, np.zeros((len(rows), 2)), one)


def describe(groups: Sequence[np.ndarray], names: Sequence[str] | None) -> str:
    """What the lines of profiles are, for a caption."""
    n = groups[0].shape[1]
    if n == 1:
        what = "Each dot is a row's only feature"
    elif names is not None and n <= _MOST_NAMED:
        listed = ", ".join(printable(str(name), _MAX_NAME) for name in names)
        what = f"Each line is a row, from left to right: {listed}"
    else:
        what = f"Each line is a row, its features 1 to {n:,} from left to right"
    if not _one_scale(groups):
        return f"{what}; each feature has a scale of its own."
    low, high = _ranges(groups)
    return f"{what}; boxes reach from {number(low.min())} to {number(high.max())}."


def _one_scale(groups: Sequence[np.ndarray]) -> bool:
    """Whether the features' ranges are alike, so that all are drawn to one scale."""
    low, high = _ranges(groups)
    spans = (high - low)[high > low]
    return spans.size == 0 or float(spans.max()) <= _ONE_SCALE * float(np.median(spans))


def _ranges(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of each feature; 0 where there is none."""
    values = np.concatenate(groups).astype(np.float64)
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0)
    high = np.where(known, values, -np.inf).max(axis=0)
    is_known = known.any(axis=0)
    return np.where(is_known, low, 0.0), np.where(is_known, high, 0.0)


def _scaled(groups: Sequence[np.ndarray], together: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Values as shares of the height that they are drawn in."""
    low, high = _ranges(together)
    if _one_scale(together):
        low, high = low.min(), high.max()
    span = np.where(high > low, high - low, 1.0)
    start = np.where(high > low, low, low - 0.5)  # what does not vary runs through the middle
    return [(np.asarray(rows, np.float64) - start) / span for rows in groups]


def _lines(shares: np.ndarray, corners: np.ndarray, cells: Cells) -> np.ndarray:
    """Points of the profiles in the axes, shape (n, n_points, 2)."""
    x = np.linspace(0.04, 0.96, shares.shape[1]) if shares.shape[1] > 1 else np.array([0.5])
    x, shares = _thinned(x, shares)
    across = corners[:, :1] + x * cells.width
    down = corners[:, 1:] + (0.92 - 0.84 * shares) * cells.height
    return np.stack([across, down], axis=-1)


def _thinned(x: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of very many features the least and the largest of each neighbourhood, which look alike."""
    n = shares.shape[1]
    if n <= _MOST_POINTS:
        return x, shares
    starts = np.linspace(0, n, _MOST_POINTS // 2, endpoint=False).astype(int)
    both = [extreme.reduceat(shares, starts, axis=1) for extreme in (np.fmin, np.fmax)]
    return np.repeat(x[starts], 2), np.stack(both, axis=2).reshape(len(shares), -1)
