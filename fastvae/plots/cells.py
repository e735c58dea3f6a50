"""Pictures of many rows: a grid of cells, each an image, or a profile of a row that is none.

A profile is the line through a row's values, feature by feature from left to right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fastvae.checks.quoting import printable
from fastvae.plots.drawing import check_size, grid_of, shade_limits, shape_of_image, tile_images
from fastvae.plots.known import names_of_features
from fastvae.plots.style import (
    CAPTION_SIZE,
    DPI,
    FONT_SIZE,
    INK,
    MARGIN,
    PAPER,
    VALIDATION,
    number,
    width_of,
    wrapped,
)

_GAP = "#8fa8c8"  # between light images: no grey, so that nobody takes it for a pixel
_LIGHT = 0.6  # a mean shade from which on images are light
_SMALLEST = 5.0  # letters, in points
_LEAST_WIDTH = 660  # of a figure, in screen pixels
_PIXELS_OF_LINE = 20  # of captions
_BYTES_OF_PIXEL = 24  # of lines, which are drawn without an image of their values
_FRAME = "#dddddd"
PROFILE = (60, 120)  # height and width of a profile's cell, in pixels as an image has them
_LARGEST_SIDE = 280  # of an image, in pixels of the screen
_LEAST_SIDE = 8  # a smaller square of values that are no pixels is a row of a table
_MOST_POINTS = 1200  # of a profile; of more features the extremes of their neighbourhoods are drawn
_MOST_NAMED = 16  # features
_MAX_NAME = 20
_THICK = 60  # of more features the lines are thinner
_MARKED = 20  # with so few features, their values are marked by dots
_ONE_SCALE = 10.0  # features whose ranges differ by more have a scale each

# Colour and style of the lines of a cell: of the original, and of its reconstruction.
LOOKS: tuple[tuple[str, Literal["-", "--"]], ...] = ((INK, "-"), (VALIDATION, "--"))


@dataclass(frozen=True)
class Cells:
    """The grid of a picture: sizes in the coordinates of its axes, y downwards."""

    n: int
    n_lines: int
    n_columns: int
    height: int
    width: int
    gap: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole."""
        gap_y, gap_x = self.gap
        height = self.n_lines * (self.height + gap_y) - gap_y
        return height, self.n_columns * (self.width + gap_x) - gap_x

    def columns(self) -> np.ndarray:
        """Centres of the columns."""
        return (self.width - 1) / 2 + (self.width + self.gap[1]) * np.arange(self.n_columns)

    def lines(self) -> np.ndarray:
        """Centres of the lines."""
        return (self.height - 1) / 2 + (self.height + self.gap[0]) * np.arange(self.n_lines)

    def corners(self) -> np.ndarray:
        """Left and upper end of each cell, shape (n, 2)."""
        line, column = np.divmod(np.arange(self.n), self.n_columns)
        pitch = self.width + self.gap[1], self.height + self.gap[0]
        return np.column_stack([column * pitch[0], line * pitch[1]]) - 0.5


@dataclass(frozen=True)
class Margins:
    """Screen pixels that labels, a title and a caption need around new axes."""

    left: int = 25
    bottom: int = 25
    top: int = 70


def is_profile(shape: tuple[int, int]) -> bool:
    """Whether rows of this shape are drawn as lines."""
    return shape[0] == 1


def shape_of_rows(
    vae: Any, image_shape: tuple[int, int] | None, feature_names: Sequence[str] | None = None
) -> tuple[int, int]:
    """Height and width of a model's rows as images; height 1 where they are none.

    They are none where their number of features is no square number, and where it is a small one
    of features that have names or are no Bernoulli variables, as pixels are.
    """
    shape = shape_of_image(vae.n_features, image_shape)
    names = names_of_features(vae, given=feature_names)
    is_table = names is not None or getattr(vae, "likelihood", "bernoulli") != "bernoulli"
    if image_shape is None and shape[0] < _LEAST_SIDE and is_table:
        return 1, vae.n_features
    return shape


def columns_for(n: int, n_columns: int | None, shape: tuple[int, int]) -> int | None:
    """How many profiles stand in a line by default: so many that the picture is nearly square."""
    if n_columns is None and is_profile(shape):
        return max(1, round(math.sqrt(n * PROFILE[0] / PROFILE[1])))
    return n_columns


def check_cells(
    n: int,
    n_columns: int | None,
    shape: tuple[int, int],
    gap: tuple[int, int] = (1, 1),
    n_frames: int | None = None,
) -> None:
    """Raise a ValueError if a picture of so many cells takes too much memory to be drawn."""
    if not is_profile(shape):
        check_size(n, n_columns, shape, gap, n_frames)
        return
    check_size(n, 1, shape, n_frames=n_frames)
    columns = columns_for(n, n_columns, shape)
    check_size(n, columns, PROFILE, gap, n_frames, bytes_of_pixel=_BYTES_OF_PIXEL)


def cells_of(
    n: int, n_columns: int | None, shape: tuple[int, int], gap: tuple[int, int] = (1, 1)
) -> Cells:
    """The grid of `n` rows; see `tile_images`."""
    n_lines, n_columns = grid_of(n, columns_for(n, n_columns, shape), shape[0])
    if is_profile(shape):
        return Cells(n, n_lines, n_columns, *PROFILE, (6, 6))
    return Cells(n, n_lines, n_columns, *shape, gap)


def draw_cells(
    ax: Axes | None,
    rows: np.ndarray,
    shape: tuple[int, int],
    cells: Cells,
    margins: Margins,
    together: Sequence[np.ndarray] = (),
) -> Axes:
    """Draw rows, an image or a profile each, on axes, or on new ones.

    `together` are all rows that the scale of values is to hold for, if there are more of them.
    """
    if is_profile(shape):
        return draw_profiles(ax, [rows], cells, margins, together)
    tiled = tile_images(rows, cells.n_columns, shape, gap=cells.gap, fill=math.nan)
    return draw_image(ax, tiled, cells, shade_limits(*(together or [rows])), margins)


def draw_image(
    ax: Axes | None,
    image: np.ndarray,
    cells: Cells,
    limits: tuple[float, float],
    margins: Margins,
) -> Axes:
    """Draw a tiled image, NaN as gap, without ticks and frame; empty cells are left out.

    `limits` are the values drawn as black and as white.
    """
    if ax is None:
        ax = _new_axes(cells, margins)
    mean = (float(np.nanmean(image)) - limits[0]) / ((limits[1] - limits[0]) or 1.0)
    shades = colormaps["gray"].with_extremes(bad=_GAP if mean > _LIGHT else PAPER)
    ax.imshow(image, cmap=shades, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    n_empty = cells.n_lines * cells.n_columns - cells.n
    if n_empty:
        right, below = cells.size[1] - 0.5, cells.size[0] - 0.5
        width = n_empty * (cells.width + cells.gap[1])
        height = cells.height + cells.gap[0]
        ax.add_patch(
            Rectangle(
                (right - width, below - height), width, height, color=PAPER, linewidth=0, zorder=1.5
            )
        )
    return _bare(ax)


def draw_profiles(
    ax: Axes | None,
    groups: Sequence[np.ndarray],
    cells: Cells,
    margins: Margins,
    together: Sequence[np.ndarray] = (),
) -> Axes:
    """Draw profiles; of several groups of rows the i-th of each stands in the i-th cell."""
    if ax is None:
        ax = _new_axes(cells, margins)
    corners = cells.corners()
    box = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (cells.width, cells.height)
    boxes = corners[:, None] + box
    ax.add_collection(
        PolyCollection(list(boxes), facecolors=PAPER, edgecolors=_FRAME, linewidths=0.8)
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
    return _bare(ax)


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


def profile_points(rows: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Points of profiles in pixels of a cell of their own, shape (n, n_points, 2).

    `together` are the rows that the scale of values is to hold for.
    """
    (shares,) = _scaled([rows], [together])
    one = Cells(1, 1, 1, *PROFILE, (0, 0))
    return _lines(shares, np.zeros((len(rows), 2)), one)


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


def label_lines(ax: Axes, cells: Cells, places: Sequence[float], texts: Sequence[str]) -> None:
    """Write texts at the left of lines, in letters that fit; where none fit, leave them out."""
    distance = min(np.diff(sorted(places)), default=np.inf)
    points = points_of_pixel(ax, cells) * distance
    size = min(FONT_SIZE, points / 1.15)
    if size < _SMALLEST:
        return
    ax.set_yticks(places, texts, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)


def label_columns(ax: Axes, cells: Cells, texts: Sequence[str]) -> None:
    """Write texts below columns, as many of them as there is room for, the last among them."""
    room = points_of_pixel(ax, cells) * (cells.width + cells.gap[1])
    longest = 72 * max(width_of(text, FONT_SIZE) for text in texts) + FONT_SIZE / 2
    step = 1
    while step * room < longest and step < len(texts) - 1:
        step += 1
        while (len(texts) - 1) % step:
            step += 1
    ax.set_xticks(cells.columns()[::step], texts[::step], fontsize=FONT_SIZE)
    ax.tick_params(axis="x", length=0, labelcolor=INK)


def points_of_pixel(ax: Axes, cells: Cells) -> float:
    """How many points a pixel of the cells is high."""
    height = ax.get_position().height * ax.figure.figure.get_figheight() * 72
    width = ax.get_position().width * ax.figure.figure.get_figwidth() * 72
    return min(height / cells.size[0], width / cells.size[1])


def margins_for(
    cells: Cells, caption: str, line_names: Sequence[str] = (), ticks: int = 0, left: int = 25
) -> Margins:
    """The margins of new axes: for names at the left of lines, and for a caption below.

    `ticks` are the screen pixels of what stands between the axes and the caption, `left` those that
    are needed at the left at least.
    """
    longest = max((width_of(name, FONT_SIZE) for name in line_names), default=0.0)
    left = max(left, 20 + math.ceil(longest * DPI))
    width = (_figure_size(cells, Margins(left))[0] - left) / DPI - MARGIN
    n_lines = len(wrapped(caption, width, CAPTION_SIZE).splitlines())
    return Margins(left, 25 + ticks + _PIXELS_OF_LINE * n_lines)


def _bare(ax: Axes) -> Axes:
    """Without ticks and frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _scale(cells: Cells, largest: int = 1000) -> int:
    """How many screen pixels wide a pixel of the cells is drawn on new axes.

    It is a whole number, else gaps of one pixel would come out unevenly wide.
    """
    side = max(cells.height, cells.width)
    return max(1, min(round(largest / max(cells.size)), _LARGEST_SIDE // side))


def _figure_size(cells: Cells, margins: Margins) -> tuple[int, int]:
    """Width and height, in screen pixels, of the figure of new axes."""
    scale = _scale(cells)
    width = max(_LEAST_WIDTH, margins.left + scale * cells.size[1] + 25)  # a title needs some
    return width, margins.bottom + scale * cells.size[0] + margins.top


def _new_axes(cells: Cells, margins: Margins) -> Axes:
    """Axes of a new figure on which each pixel of a cell covers whole screen pixels."""
    full_width, full_height = _figure_size(cells, margins)
    scale = _scale(cells)
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI, facecolor=PAPER)
    return figure.add_axes(
        (
            margins.left / full_width,
            margins.bottom / full_height,
            scale * cells.size[1] / full_width,
            scale * cells.size[0] / full_height,
        )
    )


def new_pair(cells: Cells, bottom: int) -> tuple[Axes, Axes]:
    """Two axes side by side for grids of this size, on whole screen pixels as a single one's."""
    scale = _scale(cells, largest=700)
    margin, top = 25, 60
    height, width = (scale * side for side in cells.size)
    column = max(width, 450)  # a title needs some width
    full_width, full_height = 3 * margin + 2 * column, bottom + height + top
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI, facecolor=PAPER)
    first, second = (
        figure.add_axes(
            (left / full_width, bottom / full_height, width / full_width, height / full_height)
        )
        for left in (margin, 2 * margin + column)
    )
    return first, second
